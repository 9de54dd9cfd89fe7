//! The routers that are known by name.
//!
//! Every fact is from OpenWrt's tree, read in November 2026; [`Board::sources`] has the paths in
//! it. The console is the one in the kernel's arguments (`bootargs`, `stdout-path`). The LED is the
//! one of the alias `led-running`, with the name that it has under `/sys/class/leds` since OpenWrt
//! 21.02.

use crate::{Board, OpenWrt, Serial};

const fn port(device: &'static str, baud: u32) -> Serial {
    Serial { device, baud }
}

const fn openwrt(platform: &'static str, package: &'static str) -> Option<OpenWrt> {
    Some(OpenWrt { platform, package })
}

const TTYS0: Serial = port("/dev/ttyS0", 115_200);

/// The name of every x86 machine without an entry of its own ([`crate::auto`]).
pub(crate) const X86: &str = "x86";

/// The boards that are known by name: routers, ordered by maker, then the machines of the lab.
pub const BOARDS: &[Board] = &[
    Board {
        title: "AVM FRITZ!Box 4040",
        names: &["avm,fritzbox-4040"],
        target: "armv7_hard",
        openwrt: openwrt("ipq40xx/generic", "arm_cortex-a7_neon-vfpv4"),
        serial: port("/dev/ttyMSM0", 115_200),
        led: Some("green:power"),
        sources: &["target/linux/ipq40xx/dts/qcom-ipq4018-fritzbox-4040.dts"],
    },
    Board {
        title: "GL.iNet GL-AR750S (Slate)",
        names: &["glinet,gl-ar750s-nor-nand", "glinet,gl-ar750s-nor", "glinet,gl-ar750s"],
        target: "mips_24kc",
        openwrt: openwrt("ath79/nand", "mips_24kc"),
        serial: TTYS0,
        led: Some("green:power"),
        sources: &[
            "target/linux/ath79/dts/qca9563_glinet_gl-ar750s.dtsi",
            "target/linux/ath79/image/nand.mk",
        ],
    },
    Board {
        title: "GL.iNet GL-MT300N-V2 (Mango)",
        names: &["glinet,gl-mt300n-v2"],
        target: "mipsel_24kc",
        openwrt: openwrt("ramips/mt76x8", "mipsel_24kc"),
        // Its own `bootargs` override the 57600 of mt7628an.dtsi.
        serial: TTYS0,
        led: Some("green:power"),
        sources: &["target/linux/ramips/dts/mt7628an_glinet_gl-mt300n-v2.dts"],
    },
    Board {
        title: "GL.iNet GL-MT3000 (Beryl AX)",
        names: &["glinet,gl-mt3000"],
        target: "aarch64",
        openwrt: openwrt("mediatek/filogic", "aarch64_cortex-a53"),
        serial: TTYS0,
        led: Some("white:system"),
        sources: &["target/linux/mediatek/dts/mt7981b-glinet-gl-mt3000.dts"],
    },
    Board {
        title: "GL.iNet GL-MT6000 (Flint 2)",
        names: &["glinet,gl-mt6000"],
        target: "aarch64",
        openwrt: openwrt("mediatek/filogic", "aarch64_cortex-a53"),
        serial: TTYS0,
        led: Some("white:system"),
        sources: &["target/linux/mediatek/dts/mt7986a-glinet-gl-mt6000.dts"],
    },
    Board {
        title: "Linksys E8450, Belkin RT3200",
        names: &["linksys,e8450-ubi", "linksys,e8450"],
        target: "aarch64",
        openwrt: openwrt("mediatek/mt7622", "aarch64_cortex-a53"),
        serial: TTYS0,
        led: Some("power:blue"),
        sources: &[
            "target/linux/mediatek/dts/mt7622-linksys-e8450.dtsi",
            "target/linux/mediatek/dts/mt7622-linksys-e8450-ubi.dts",
        ],
    },
    Board {
        title: "Linksys WRT3200ACM",
        names: &["linksys,wrt3200acm", "linksys,rango"],
        target: "armv7_hard",
        openwrt: openwrt("mvebu/cortexa9", "arm_cortex-a9_vfpv3-d16"),
        serial: TTYS0,
        // The label in Linux's own device tree, to which OpenWrt only adds aliases.
        led: Some("rango:white:power"),
        sources: &[
            "target/linux/mvebu/patches-6.6/309-linksys-status-led.patch",
            "target/linux/mvebu/cortexa9/base-files/etc/board.d/02_network",
            "linux: arch/arm/boot/dts/marvell/armada-385-linksys-rango.dts",
            "linux: arch/arm/boot/dts/marvell/armada-385-linksys.dtsi",
        ],
    },
    Board {
        title: "MikroTik hAP ac²",
        names: &["mikrotik,hap-ac2"],
        target: "armv7_hard",
        openwrt: openwrt("ipq40xx/mikrotik", "arm_cortex-a7_neon-vfpv4"),
        serial: port("/dev/ttyMSM0", 115_200),
        led: Some("green:user"),
        sources: &["target/linux/ipq40xx/dts/qcom-ipq4018-hap-ac2.dts"],
    },
    Board {
        title: "OpenWrt One",
        names: &["openwrt,one"],
        target: "aarch64",
        openwrt: openwrt("mediatek/filogic", "aarch64_cortex-a53"),
        serial: TTYS0,
        led: Some("green:status"),
        sources: &["target/linux/mediatek/dts/mt7981b-openwrt-one.dts"],
    },
    Board {
        title: "PC Engines APU1 to APU6",
        names: &[
            "pc-engines-apu1",
            "pc-engines-apu2",
            "pc-engines-apu3",
            "pc-engines-apu4",
            "pc-engines-apu5",
            "pc-engines-apu6",
        ],
        target: "x86_64",
        openwrt: openwrt("x86/64", "x86_64"),
        serial: TTYS0,
        led: Some("apu:green:1"),
        sources: &[
            "target/linux/x86/base-files/etc/board.d/01_leds",
            "target/linux/x86/base-files/etc/inittab",
        ],
    },
    Board {
        title: "Raspberry Pi 4 Model B",
        names: &["raspberrypi,4-model-b"],
        target: "aarch64",
        openwrt: openwrt("bcm27xx/bcm2711", "aarch64_cortex-a72"),
        // Pins 14 and 15 are connected to the PL011: distroconfig.txt disconnects it from
        // Bluetooth.
        serial: port("/dev/ttyAMA0", 115_200),
        led: Some("PWR"),
        sources: &[
            "target/linux/bcm27xx/image/cmdline.txt",
            "target/linux/bcm27xx/image/distroconfig.txt",
            "target/linux/bcm27xx/base-files/etc/diag.sh",
            "target/linux/bcm27xx/image/Makefile",
        ],
    },
    Board {
        title: "TP-Link Archer AX23 v1",
        names: &["tplink,archer-ax23-v1"],
        target: "mipsel_24kc",
        openwrt: openwrt("ramips/mt7621", "mipsel_24kc"),
        // Its own `bootargs` override the 57600 of mt7621.dtsi.
        serial: TTYS0,
        led: Some("green:power"),
        sources: &["target/linux/ramips/dts/mt7621_tplink_archer-ax23-v1.dts"],
    },
    Board {
        title: "TP-Link Archer C7 v5",
        names: &["tplink,archer-c7-v5"],
        target: "mips_24kc",
        openwrt: openwrt("ath79/generic", "mips_24kc"),
        serial: TTYS0,
        led: Some("green:system"),
        sources: &[
            "target/linux/ath79/dts/qca9563_tplink_archer-c7-v5.dts",
            "target/linux/ath79/dts/qca9563_tplink_archer-x7-v5.dtsi",
        ],
    },
    Board {
        title: "Ubiquiti EdgeRouter X",
        names: &["ubnt,edgerouter-x"],
        target: "mipsel_24kc",
        openwrt: openwrt("ramips/mt7621", "mipsel_24kc"),
        serial: port("/dev/ttyS0", 57_600),
        // The board has no LED that Linux can switch.
        led: None,
        sources: &[
            "target/linux/ramips/dts/mt7621_ubnt_edgerouter-x.dts",
            "target/linux/ramips/dts/mt7621_ubnt_edgerouter-x.dtsi",
            "target/linux/ramips/dts/mt7621.dtsi",
        ],
    },
    Board {
        title: "x86 PC, physical or virtual",
        names: &[X86],
        target: "x86_64",
        openwrt: openwrt("x86/64", "x86_64"),
        serial: TTYS0,
        led: None,
        sources: &[
            "target/linux/x86/base-files/etc/inittab",
            "target/linux/x86/base-files/lib/preinit/01_sysinfo",
            "target/linux/x86/image/Makefile",
        ],
    },
    Board {
        title: "Xiaomi AX3000T",
        names: &["xiaomi,mi-router-ax3000t", "xiaomi,mi-router-ax3000t-ubootmod"],
        target: "aarch64",
        openwrt: openwrt("mediatek/filogic", "aarch64_cortex-a53"),
        serial: TTYS0,
        led: Some("blue:status"),
        sources: &[
            "target/linux/mediatek/dts/mt7981b-xiaomi-mi-router-ax3000t.dts",
            "target/linux/mediatek/dts/mt7981b-xiaomi-mi-router-ax3000t-ubootmod.dts",
            "target/linux/mediatek/dts/mt7981b-xiaomi-mi-router-common.dtsi",
        ],
    },
    Board {
        title: "Zyxel NBG6817 (Armor Z2)",
        names: &["zyxel,nbg6817"],
        target: "armv7_hard",
        openwrt: openwrt("ipq806x/generic", "arm_cortex-a15_neon-vfpv4"),
        serial: port("/dev/ttyMSM0", 115_200),
        led: Some("white:power"),
        sources: &["target/linux/ipq806x/dts/qcom-ipq8065-nbg6817.dts"],
    },
    // The lab's machines: the line under test, not the console.
    Board {
        title: "QEMU malta",
        names: &["mti,malta"],
        target: "mipsel_24kc",
        openwrt: None,
        serial: port("/dev/ttyS1", 115_200),
        led: None,
        sources: &[],
    },
    Board {
        title: "QEMU q35",
        names: &["qemu,q35"],
        target: "x86_64",
        openwrt: None,
        serial: port("/dev/ttyS1", 115_200),
        led: None,
        sources: &[],
    },
    Board {
        title: "QEMU s390-ccw-virtio",
        names: &["qemu,s390-ccw-virtio"],
        target: "s390x",
        openwrt: None,
        serial: port("/dev/vport1p1", 115_200),
        led: None,
        sources: &[],
    },
    Board {
        title: "QEMU virt",
        names: &["linux,dummy-virt"],
        target: "aarch64",
        openwrt: None,
        serial: TTYS0,
        led: None,
        sources: &[],
    },
];
