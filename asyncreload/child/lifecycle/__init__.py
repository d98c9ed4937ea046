"""The child as a process: the side thread, the link to the parent, the end."""
