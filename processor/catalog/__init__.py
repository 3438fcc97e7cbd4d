"""What a client can do with images, apart from converting them."""
