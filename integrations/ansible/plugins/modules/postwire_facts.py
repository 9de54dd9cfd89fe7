#!/usr/bin/python
# Copyright: the Postwire developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reads the state of a router into facts."""

DOCUMENTATION = r"""
module: postwire_facts
short_description: The state of a router, as facts
description:
  - Sets the fact C(postwire) to the result of C(postwire status) - host name, board, kernel, interfaces, and whether the
    kernel's state matches the stored configurations - with the running interfaces of C(postwire show) in
    C(postwire.running). No secrets are in it.
extends_documentation_fragment: [postwire.postwire.router]
attributes:
  check_mode:
    description: Changes nothing.
    support: full
"""

EXAMPLES = r"""
- postwire.postwire.postwire_facts:
    router: "{{ inventory_hostname }}"
- ansible.builtin.assert:
    that: postwire.stored | rejectattr('agrees') | length == 0
"""

RETURN = r"""
ansible_facts:
  description: The fact C(postwire).
  type: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postwire.postwire.plugins.module_utils.postwire import (
    NEEDS_ROUTER,
    ONE_ADDRESS,
    ROUTER_OPTIONS,
    Postwire,
)


def main():
    module = AnsibleModule(
        argument_spec=dict(ROUTER_OPTIONS),
        mutually_exclusive=ONE_ADDRESS,
        required_one_of=NEEDS_ROUTER,
        supports_check_mode=True,
    )
    postwire = Postwire(module)
    facts = postwire.run("status")
    facts["running"] = postwire.run("show")["interfaces"]
    module.exit_json(changed=False, ansible_facts=dict(postwire=facts))


if __name__ == "__main__":
    main()
