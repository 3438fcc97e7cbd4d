"""Steps between decoder and encoder, one in each file. Each takes an image and returns one.

An animation is one tall image, frame below frame. Its field `page-height` is the height of a frame.
"""
