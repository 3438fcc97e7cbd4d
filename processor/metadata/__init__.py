"""What a file says about itself besides its pixels: EXIF, IPTC and XMP, read within bounds."""
