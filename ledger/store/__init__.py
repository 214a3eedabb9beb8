"""The event store on PostgreSQL: append function, mapper, keyring, command executor, migrations."""
