"""Operations on many images in the background: started by a filter, done by whichever process has a turn."""
