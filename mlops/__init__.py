"""Model operations: makes versions, judges them, promotes them and watches them."""
