"""Events of Salesforce over real gRPC: the sandbox that publishes them, and the listener that keeps them."""
