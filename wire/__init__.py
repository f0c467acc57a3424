"""Protocols that clients and sandboxes speak, as the compiler of their own language makes them: nothing here is written by hand but `.proto` files."""
