"""Who somebody is by a token of an OpenID Connect provider; what they may do here is the ledger's own to say."""
