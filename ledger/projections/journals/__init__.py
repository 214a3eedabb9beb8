"""The journals: students by works, with marks of periods, corrections and voided marks visible."""
