"""How much a caller and a tenant may ask for."""
