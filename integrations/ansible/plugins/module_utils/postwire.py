# Copyright: the Postwire developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs the host tool and reads the JSON object that the tool prints."""

import json

# Exit codes of postwire that are a result and not a failure: done, and differences found.
DONE = 0
CHANGES = 4

ROUTER_OPTIONS = dict(
    router=dict(type="str"),
    udp=dict(type="str"),
    serial=dict(type="str"),
    home=dict(type="path"),
    key=dict(type="path", no_log=False),
    timeout=dict(type="str"),
    executable=dict(type="path", default="postwire"),
)
ONE_ADDRESS = [("udp", "serial")]
NEEDS_ROUTER = [("router", "udp", "serial")]


class Postwire:
    """The host tool, for the router that a module's parameters name."""

    def __init__(self, module):
        self.module = module
        params = module.params
        self.program = module.get_bin_path(params["executable"], required=True)
        options = ["router", "udp", "serial", "home", "key", "timeout"]
        self.options = ["--json"]
        for name in options:
            if params[name] is not None:
                self.options += ["--" + name, params[name]]

    def run(self, *words, stdin=None, absent=()):
        """Returns the result of a command. A failure ends the module with the tool's own words; one whose code is in
        `absent` returns None instead."""
        command = [self.program, *words, *self.options]
        code, out, err = self.module.run_command(command, data=stdin, binary_data=False)
        try:
            said = json.loads(out)
        except ValueError:
            self.module.fail_json(msg=f"{self.program} {words[0]} ended with code {code}: {err or out}", rc=code)
        for warning in said.get("warnings", []):
            line = warning.get("line")
            place = f"line {line}: " if line else ""
            self.module.warn(place + warning["message"])
        if code not in (DONE, CHANGES):
            if (said.get("error") or {}).get("code") in absent:
                return None
            self.fail(code, said.get("error") or {})
        return said["result"]

    def fail(self, code, error):
        message = error.get("message") or f"postwire ended with code {code}"
        # The errors in a file: each with its line.
        problems = error.get("problems") or []
        lines = [f"line {it['line']}: {it['message']}" for it in problems if it.get("line")]
        if lines:
            message += ": " + "; ".join(lines)
        elif error.get("line"):
            message += f" (line {error['line']})"
        if error.get("hint"):
            message += f". Hint: {error['hint']}"
        self.module.fail_json(msg=message, rc=code, error=error)
