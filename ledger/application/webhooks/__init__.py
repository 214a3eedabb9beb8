"""Webhooks: which there are, what they sign with, where they may lead, and the dispatcher that tells them."""
