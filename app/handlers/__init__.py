"""What happens when a visitor does something.

Functions whose first argument is the server, one file a part of the page; they are the methods of
`server.Server`, and tests call them without a page.
"""
