"""The register of the school's people, as it is listed: offices, mandates, logins."""
