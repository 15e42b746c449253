// E2B's first steps: a cell of Python, files, a command.

const { Sandbox } = await import(process.env.E2B_MODULE ?? '@e2b/code-interpreter')

const sandbox = await Sandbox.create()
try {
  await sandbox.runCode('x = 1')
  const execution = await sandbox.runCode('x += 1; x')
  console.log('x is', execution.text)

  await sandbox.files.write('/home/user/hello.txt', 'hello from outside\n')
  const { logs } = await sandbox.runCode("print(open('hello.txt').read(), end='')")
  process.stdout.write(logs.stdout.join(''))

  const { stdout } = await sandbox.commands.run('echo a command ran as $(id -un)')
  process.stdout.write(stdout)
} finally {
  await sandbox.kill()
}
