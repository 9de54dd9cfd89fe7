//! The contents of each package. A new package is a new entry in [`RECIPES`].

/// A file of a package.
pub struct File {
    /// Its path in `integrations/openwrt`.
    pub from: &'static str,
    /// Its path on the router, without the first `/`.
    pub to: &'static str,
    /// Its permissions.
    pub mode: u32,
}

/// A package.
pub struct Recipe {
    /// Its name.
    pub name: &'static str,
    /// The description: its first line is also used alone in lists.
    pub description: &'static [&'static str],
    /// The variant of the agent to install as `/usr/sbin/postwired`. `None` for a package without a
    /// program, which is the same for all architectures.
    pub variant: Option<&'static str>,
    /// The files other than the agent.
    pub files: &'static [File],
    /// Configuration files, which belong to the user after the installation.
    pub conffiles: &'static [&'static str],
    /// Names of required packages.
    pub depends: &'static [&'static str],
    /// Names of packages that cannot be installed together with it.
    pub conflicts: &'static [&'static str],
    /// Names of packages that it replaces.
    pub provides: &'static [&'static str],
    /// Links that several packages may provide: priority, link and target, separated by colons.
    pub alternatives: &'static [&'static str],
    /// Shell commands to run before the package is removed, but not before an upgrade.
    pub before_removal: &'static str,
}

const fn file(from: &'static str, to: &'static str, mode: u32) -> File {
    File { from, to, mode }
}

/// The service, which is the same for every variant of the agent.
const SERVICE: &[File] = &[
    file("files/etc/init.d/postwired", "etc/init.d/postwired", 0o755),
    file("files/etc/config/postwired", "etc/config/postwired", 0o644),
    file("files/etc/uci-defaults/50-postwired", "etc/uci-defaults/50-postwired", 0o755),
    file("files/etc/capabilities/postwired.json", "etc/capabilities/postwired.json", 0o644),
    file("files/lib/upgrade/keep.d/postwired", "lib/upgrade/keep.d/postwired", 0o644),
];

const CONFFILES: &[&str] = &["/etc/config/postwired"];

/// Returns the serial port to the router's own console, if the agent has taken it.
const GIVE_CONSOLE: &str = "/usr/sbin/postwired console give >/dev/null 2>&1 || true";

/// All packages.
pub const RECIPES: &[Recipe] = &[
    Recipe {
        name: "postwired",
        description: &[
            "Agent of Postwire: WireGuard configuration pushed over serial or UDP",
            "Takes WireGuard configuration from its owners over a serial line or UDP, applies and verifies it, and",
            "keeps it over reboots. Brings `wg` and `wg-quick`; for routers with wireguard-tools there is postwired-mini.",
        ],
        variant: Some("full"),
        files: SERVICE,
        conffiles: CONFFILES,
        depends: &["kmod-wireguard"],
        // wireguard-tools has a file in the place of the link to our `wg`, and apk would replace
        // that file.
        conflicts: &["postwired-mini", "wireguard-tools"],
        provides: &[],
        alternatives: &[
            "100:/usr/bin/wg:/usr/sbin/postwired",
            "100:/usr/bin/wg-quick:/usr/sbin/postwired",
        ],
        before_removal: GIVE_CONSOLE,
    },
    Recipe {
        name: "postwired-mini",
        description: &[
            "Agent of Postwire without wg and wg-quick",
            "Takes WireGuard configuration from its owners over a serial line or UDP, applies and verifies it, and",
            "keeps it over reboots. For routers that have wireguard-tools, or little flash.",
        ],
        variant: Some("mini"),
        files: SERVICE,
        conffiles: CONFFILES,
        depends: &["kmod-wireguard"],
        conflicts: &["postwired"],
        provides: &["postwired"],
        alternatives: &[],
        before_removal: GIVE_CONSOLE,
    },
    Recipe {
        name: "postwired-proto",
        description: &[
            "Protocol handler that shows interfaces of postwired to netifd",
            "With it, ifstatus, LuCI, mwan3, hotplug and the option zone know the interfaces of postwired. netifd shows",
            "them and changes nothing of them.",
        ],
        variant: None,
        files: &[
            file("files/lib/netifd/proto/postwire.sh", "lib/netifd/proto/postwire.sh", 0o755),
            file("files/lib/netifd/postwire-renew", "lib/netifd/postwire-renew", 0o755),
        ],
        conffiles: &[],
        depends: &["postwired"],
        conflicts: &[],
        provides: &[],
        alternatives: &[],
        before_removal: "",
    },
];
