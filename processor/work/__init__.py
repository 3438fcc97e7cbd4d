"""What the worker does: takes messages, and converts what they tell of."""
