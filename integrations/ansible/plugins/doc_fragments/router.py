# Copyright: the Postwire developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The options that name a router, for the documentation of the modules."""


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  router:
    description: The router's name in your list of routers, its public key or its fingerprint.
    type: str
  udp:
    description: The router's address or host name, and its UDP port, as C(HOST[:PORT]).
    type: str
  serial:
    description: The serial port that leads to the router, and its speed, as C(DEV[@BAUD]).
    type: str
  home:
    description: The folder with your key and your list of routers. The default is that of C(postwire).
    type: path
  key:
    description: The file with your key.
    type: path
  timeout:
    description: How long to wait for a reply, such as C(30s).
    type: str
  executable:
    description: The program C(postwire), by its name or path.
    type: path
    default: postwire
requirements:
  - C(postwire) on the machine where the module runs, which is the controller with C(connection=local)
"""
