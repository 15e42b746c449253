"""Variables, directories and what else a cell finds around it."""

import os
import tempfile
import unittest

from tests.driver import KernelCase


class Variables(KernelCase):
    def value(self, name, **fields):
        return self.kernel.run(f"import os; os.environ.get({name!r})", **fields).main

    def test_variables_of_one_cell_are_gone_afterwards(self):
        self.assertEqual(self.value("ONE", env={"ONE": "1"})[0]["text/plain"], "'1'")
        self.assertEqual(self.value("ONE"), [])

    def test_variable_that_was_there_comes_back(self):
        self.assertEqual(self.kernel.ask("set_env", env={"KEPT": "sandbox"}).status, "ok")
        self.assertEqual(self.value("KEPT", env={"KEPT": "cell"})[0]["text/plain"], "'cell'")
        self.assertEqual(self.value("KEPT")[0]["text/plain"], "'sandbox'")

    def test_variables_come_back_after_errors_and_changes(self):
        self.kernel.run("import os\nos.environ['BACK'] = 'changed'\n1 / 0", env={"BACK": "cell"})
        self.assertEqual(self.value("BACK"), [])

    def test_any_value_passes_unchanged(self):
        value = "quote ' \" back\\slash\nline $HOME `x` ä 😀"
        answer = self.kernel.run("import os; print(os.environ['ODD'])", env={"ODD": value})
        self.assertEqual(answer.stdout, [value + "\n"])

    def test_child_processes_and_c_code_see_them(self):
        self.assertEqual(self.kernel.run("!echo $SEEN", env={"SEEN": "by sh"}).stdout, ["by sh\n"])

    def test_set_env_lasts_and_null_takes_away(self):
        self.kernel.ask("set_env", env={"LASTS": "yes"})
        self.assertEqual(self.value("LASTS")[0]["text/plain"], "'yes'")
        self.kernel.ask("set_env", env={"LASTS": None})
        self.assertEqual(self.value("LASTS"), [])

    def test_impossible_variables_are_refused_and_nothing_runs(self):
        for env in ({"A=B": "1"}, {"": "1"}, {"A": "nul\0"}, {"A": 5}, {"OK": "1", "A": "\ud800"}, {"OK": "1", "A": ["no"]}):
            answer = self.kernel.run("print('ran')", env=env)
            self.assertEqual((answer.status, answer.types), ("error", ["error", "end"]), env)
            self.assertEqual(self.kernel.ask("set_env", env=env).status, "error")
            self.assertEqual(self.value("OK"), [])

    def test_time_zone_takes_effect(self):
        code = "import time; time.localtime(0).tm_hour"
        self.assertEqual(self.kernel.run(code, env={"TZ": "UTC-5"}).text, "5")
        self.assertEqual(self.kernel.run(code, env={"TZ": "UTC"}).text, "0")


class Places(KernelCase):
    def test_cd_moves_the_kernel(self):
        with tempfile.TemporaryDirectory() as directory:
            self.assertEqual(self.kernel.ask("cd", path=directory).status, "ok")
            real = os.path.realpath(directory)
            self.assertEqual(self.kernel.run("import os; os.getcwd()").text, repr(real))
            self.assertEqual(self.kernel.run("!pwd").stdout, [real + "\n"])
            with open(os.path.join(directory, "beside.py"), "w") as file:
                file.write("value = 9")
            self.assertEqual(self.kernel.run("import beside; beside.value").text, "9")
            self.kernel.ask("cd", path="/")

    def test_cd_to_nowhere_is_an_error(self):
        answer = self.kernel.ask("cd", path="/no/such/place")
        self.assertEqual((answer.error["name"], answer.status), ("FileNotFoundError", "error"))
        self.assertEqual(self.kernel.ask("cd", path="nul\0").status, "error")

    def test_cd_magic_writes_nothing_to_a_home(self):
        with tempfile.TemporaryDirectory() as home:
            kernel = self.own_kernel(HOME=home)
            kernel.run("%cd /")
            kernel.run("1 / 0")
            self.assertEqual(kernel.run("import os; os.getcwd()").text, "'/'")
            self.assertEqual(os.listdir(home), [])
            self.assertFalse(os.path.exists("/nonexistent"))

    def test_main_is_the_users(self):
        self.assertEqual(self.kernel.run("__name__").text, "'__main__'")
        self.assertEqual(self.kernel.run("import sys; sys.argv").text, "['']")
        self.assertEqual(self.kernel.run(
            "import pickle\nclass Mine: pass\ntype(pickle.loads(pickle.dumps(Mine()))) is Mine").text, "True")

    def test_children_do_not_inherit_the_conversation(self):
        # Not by subprocess, which closes descriptors itself.
        answer = self.kernel.run("import os\nos.system('ls /proc/self/fd');")
        # 0, 1, 2 and what ls opened to look.
        self.assertEqual("".join(answer.stdout).split(), ["0", "1", "2", "3"])


if __name__ == "__main__":
    unittest.main()
