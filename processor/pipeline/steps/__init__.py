"""What happens to pixels between decoder and encoder: small steps, each from image to image, one a file.

An animation is one tall image, frame below frame; `page-height` says where to cut.
"""
