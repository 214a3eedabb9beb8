"""An event-sourced audit ledger of what a school knows about its students."""
