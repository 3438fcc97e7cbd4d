"""The settings of the core's components: AWS resources, files, work. The core itself reads no environment."""
