"""A language model that runs code by a tool: it asks, the sandbox runs, the model gets what came of it.

The model's side is recorded: a real one is asked in `answer_of_model` with the same messages and tools.
"""

import json

from e2b_code_interpreter import Sandbox

TOOLS = [{
    "name": "run_python",
    "description": "Runs Python in a notebook that keeps its variables. Gives what was printed, the last value and errors.",
    "input_schema": {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
}]

RECORDED = [
    {"tool": "run_python", "id": "call_1",
     "input": {"code": "primes = [n for n in range(2, 100) if all(n % d for d in range(2, n))]\nsum(prime)"}},
    {"tool": "run_python", "id": "call_2", "input": {"code": "sum(primes), len(primes)"}},
    {"text": "There are 25 primes below 100; their sum is 1060."},
]


def answer_of_model(messages, tools):
    """What a model says next. This one has said it before."""
    assert all(tool["input_schema"] for tool in tools)
    return RECORDED[sum(message["role"] == "assistant" for message in messages)]


def run_python(sandbox, code):
    """Runs the code, and tells the model what it needs to go on, errors included."""
    execution = sandbox.run_code(code, timeout=30)
    told = {"stdout": "".join(execution.logs.stdout)[-4000:], "value": execution.text}
    if execution.error:
        told["error"] = f"{execution.error.name}: {execution.error.value}"
    return told


def main():
    messages = [{"role": "user", "content": "How many primes are there below 100, and what is their sum?"}]
    with Sandbox.create() as sandbox:
        while True:
            answer = answer_of_model(messages, TOOLS)
            messages.append({"role": "assistant", "content": answer})
            if "text" in answer:
                print("model:", answer["text"])
                return
            print("model runs:", answer["input"]["code"].splitlines()[-1])
            told = run_python(sandbox, **answer["input"])
            print("sandbox:", json.dumps(told))
            messages.append({"role": "user", "content": {"tool_result": answer["id"], **told}})


main()
