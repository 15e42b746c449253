"""The client for asyncio: the same, and many contexts at once."""

import asyncio
import unittest

from e2b_code_interpreter import AsyncSandbox, NotFoundException, TimeoutException


class Asynchronous(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.sandbox = await AsyncSandbox.create(timeout=120)

    async def asyncTearDown(self):
        await self.sandbox.kill()

    async def test_cells(self):
        seen = []

        async def on_stdout(message):
            seen.append(message.line)

        execution = await self.sandbox.run_code("print('out')\n6 * 7", on_stdout=on_stdout)
        self.assertEqual((execution.text, seen, execution.logs.stdout), ("42", ["out\n"], ["out\n"]))
        self.assertEqual((await self.sandbox.run_code("1/0")).error.name, "ZeroDivisionError")
        with self.assertRaises(TimeoutException):
            await self.sandbox.run_code("while True: pass", timeout=1)
        self.assertEqual((await self.sandbox.run_code("1+1", timeout=10)).text, "2")

    async def test_contexts_at_once(self):
        contexts = await asyncio.gather(*[self.sandbox.create_code_context() for _ in range(5)])
        # Each waits for the others: they run at once.
        code = ("import os, time\nopen(f'/tmp/at-{n}', 'w').close()\n"
                "while not all(os.path.exists(f'/tmp/at-{m}') for m in range(5)): time.sleep(0.01)\nn")
        ran = await asyncio.gather(*[self.sandbox.run_code(f"n = {n}\n" + code, context=context, timeout=60)
                                     for n, context in enumerate(contexts)])
        self.assertEqual([execution.text for execution in ran], list("01234"))
        await self.sandbox.restart_code_context(contexts[0])
        await self.sandbox.remove_code_context(contexts[0])
        with self.assertRaises(NotFoundException):
            await self.sandbox.run_code("1", context=contexts[0])
        self.assertEqual(len(await self.sandbox.list_code_contexts()), 6)


if __name__ == "__main__":
    unittest.main(verbosity=2)
