"""The sections of the page, one file each: what it is made of, and what happens when a visitor uses
it.

A section builds itself where it is made, and wires itself to the server's handlers. What another
section needs of it is an attribute.
"""
