"""A large language model's manner in a small one: on its replies, then on the small one's own."""
