"""Operations on many images in the background. A filter starts one, and any process can do it."""
