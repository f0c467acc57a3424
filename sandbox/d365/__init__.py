"""A Dynamics 365 Finance & Operations on this machine: Entra tokens, OData, `$batch`, number sequences, posting."""
