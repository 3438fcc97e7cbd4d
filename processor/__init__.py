"""What an image, a job and a variant are, and how one becomes the other."""
