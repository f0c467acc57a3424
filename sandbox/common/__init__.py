"""What both sandboxes share: journal, clock, certificates, serving."""
