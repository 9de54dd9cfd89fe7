#!/usr/bin/python
# Copyright: the Postwire developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Pushes a WireGuard configuration onto a router, or removes one."""

DOCUMENTATION = r"""
module: postwire_config
short_description: Push a WireGuard configuration onto a router over a serial cable or UDP
description:
  - Applies a C(wg-quick) file to a router that runs C(postwired), and stores the file's configuration there.
  - The router changes only what differs, and verifies its kernel's state before it reports success. A push of the same
    configuration changes nothing.
  - Runs C(postwire) on the controller, so use C(connection=local) or C(delegate_to=localhost).
extends_documentation_fragment: [postwire.postwire.router]
options:
  interface:
    description: The interface to configure. Needed with O(config) and with O(state=absent).
    type: str
  src:
    description: A C(wg-quick) file on the controller.
    type: path
  config:
    description: The text of a C(wg-quick) file, such as a rendered template. It is passed on without a file.
    type: str
  state:
    description:
      - Whether the interface is configured, or removed from the router. O(state=absent) takes none of O(src), O(config)
        and O(adopt).
      - An interface of that name which another program made is left alone. Check mode cannot tell whose it is, and
        reports a change.
    type: str
    choices: [present, absent]
    default: present
  confirm_within:
    description: The router reverts the change unless it can be reached again within this time, such as C(60s).
    type: str
  adopt:
    description: Take over an interface that C(postwired) did not make.
    type: bool
    default: false
attributes:
  check_mode:
    description: Asks the router what would change.
    support: full
  diff_mode:
    description: Lists the changes.
    support: full
"""

EXAMPLES = r"""
- name: A tunnel on each router
  hosts: routers
  connection: local
  gather_facts: false
  tasks:
    - postwire.postwire.postwire_config:
        router: "{{ inventory_hostname }}"
        interface: wg0
        config: "{{ lookup('template', 'wg0.conf.j2') }}"
        confirm_within: 60s
"""

RETURN = r"""
result:
  description: The result of C(postwire push), C(diff) or C(remove), as C(--json) prints it.
  type: dict
  returned: success
public_key:
  description: The WireGuard public key of the interface, which the router may have made itself.
  type: str
  returned: when the router reported one
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postwire.postwire.plugins.module_utils.postwire import (
    NEEDS_ROUTER,
    ONE_ADDRESS,
    ROUTER_OPTIONS,
    Postwire,
)


# The codes of a removal of an interface that postwired did not make, or that is gone meanwhile.
NOT_OURS = ("foreign", "wrong_kind", "no_interface")


def describe(changes):
    """A line for each change."""
    lines = []
    for change in changes:
        what = change.get("change", "")
        rest = ", ".join(f"{name}: {value}" for name, value in change.items() if name != "change")
        lines.append(f"{what} {rest}".rstrip() + "\n")
    return "".join(lines)


def present(module, postwire):
    params = module.params
    words = [params["src"]] if params["src"] else ["-"]
    if params["interface"]:
        words += ["--interface", params["interface"]]
    outcome = {}
    if module.check_mode or module._diff:
        result = postwire.run("diff", *words, stdin=params["config"])
        outcome = dict(changed=result["changed"], result=result)
        if module._diff:
            outcome["diff"] = dict(prepared=describe(result["changes"]))
    if not module.check_mode:
        push = words + ["--yes"]
        if params["confirm_within"]:
            push += ["--confirm-within", params["confirm_within"]]
        if params["adopt"]:
            push.append("--adopt")
        result = postwire.run("push", *push, stdin=params["config"])
        outcome.update(changed=result["changed"], result=result)
    if result.get("public_key"):
        outcome["public_key"] = result["public_key"]
    return outcome


def absent(module, postwire):
    interface = module.params["interface"]
    status = postwire.run("status")
    stored = any(it["interface"] == interface and it["act"] != "removed" for it in status["stored"])
    running = interface in status["interfaces"]
    if not running and status["links"] > len(status["interfaces"]):
        # The list in the status ends after eight names.
        running = postwire.run("show", interface, absent=("no_interface", "wrong_kind")) is not None
    if not stored and not running:
        return dict(changed=False, result=status)
    outcome = dict(changed=True, result=status)
    if module._diff:
        outcome["diff"] = dict(prepared=f"remove interface: {interface}\n")
    if not module.check_mode:
        words = ["remove", interface]
        if module.params["confirm_within"]:
            words += ["--confirm-within", module.params["confirm_within"]]
        # Nothing of postwired's is left where another program has the name.
        absent = () if stored else NOT_OURS
        outcome["result"] = postwire.run(*words, absent=absent)
        if outcome["result"] is None:
            return dict(changed=False, result=status)
    return outcome


def main():
    module = AnsibleModule(
        argument_spec=dict(
            interface=dict(type="str"),
            src=dict(type="path"),
            config=dict(type="str", no_log=True),
            state=dict(type="str", choices=["present", "absent"], default="present"),
            confirm_within=dict(type="str"),
            adopt=dict(type="bool", default=False),
            **ROUTER_OPTIONS,
        ),
        mutually_exclusive=[("src", "config"), *ONE_ADDRESS],
        required_one_of=NEEDS_ROUTER,
        required_if=[
            ("state", "present", ("src", "config"), True),
            ("state", "absent", ("interface",)),
        ],
        required_by=dict(config=("interface",)),
        supports_check_mode=True,
    )
    work = present if module.params["state"] == "present" else absent
    # These parameters would be without effect.
    for name in ("src", "config", "adopt") if work is absent else ():
        if module.params[name]:
            module.fail_json(msg=f"{name} is for state=present: an interface that is removed has no configuration")
    module.exit_json(**work(module, Postwire(module)))


if __name__ == "__main__":
    main()
