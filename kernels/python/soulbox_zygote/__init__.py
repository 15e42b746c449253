"""The Python side of a zygote.

| What | Module |
|---|---|
| the zygote's own life | `serving` |
| the library that makes the children | `library` |
| its memory in large pages | `pages` |
| a child, up to what it is for | `child` |
| a script, as `python3 file` runs it | `script` |
| its standard streams | `streams` |
| its environment | `environment` |
| its end | `ending` |
| what children must not have in common | `reseed`, the file of `soulbox_kernel` |

Everything here is loaded before the first child is made: a child that imports reads files, and each
page of memory that it touches first costs it two microseconds.
"""
