"""E2B's first steps: a cell of Python, files, a command."""

from e2b_code_interpreter import Sandbox

with Sandbox.create() as sandbox:
    sandbox.run_code("x = 1")
    execution = sandbox.run_code("x += 1; x")
    print("x is", execution.text)

    sandbox.files.write("/home/user/hello.txt", "hello from outside\n")
    print(sandbox.run_code("print(open('hello.txt').read(), end='')").logs.stdout[0], end="")
    print([entry.name for entry in sandbox.files.list("/home/user") if not entry.name.startswith(".")])

    print(sandbox.commands.run("echo a command ran as $(id -un)").stdout, end="")
