//! The LM3S6965 evaluation board: clocks, two UARTs, a lamp, four switches. All `unsafe` is here.
//!
//! | place | is |
//! |---|---|
//! | UART0 (PA0, PA1) | 115200 baud: a line for each unit, for people and records |
//! | UART1 (PD2, PD3) | 115200 baud: the router's serial line |
//! | PF0 | the lamp: on is pass, blinking is fail |
//! | PB0 to PB3 | switches to 3.3 V: the row of the table |

use core::{cell::RefCell, convert::Infallible, fmt};

use cortex_m::{
    asm,
    peripheral::{NVIC, SYST, syst::SystClkSource},
};
use cortex_m_rt::exception;
use critical_section::Mutex;
use embedded_io::{ErrorType, Read, ReadReady, Write};
use heapless::Deque;
use lm3s6965::{Interrupt, interrupt};

const CLOCK: u32 = 50_000_000;

const SYSCTL: usize = 0x400F_E000;
const UART0: usize = 0x4000_C000;
const UART1: usize = 0x4000_D000;
const PORT_A: usize = 0x4000_4000;
const PORT_B: usize = 0x4000_5000;
const PORT_D: usize = 0x4000_7000;
const PORT_F: usize = 0x4002_5000;

/// Registers of a UART.
const DR: usize = 0x00;
const FR: usize = 0x18;
const IBRD: usize = 0x24;
const FBRD: usize = 0x28;
const LCRH: usize = 0x2C;
const CTL: usize = 0x30;
const IM: usize = 0x38;
const ICR: usize = 0x44;
/// Bits of `FR`.
const RX_EMPTY: u32 = 1 << 4;
const TX_FULL: u32 = 1 << 5;
/// Bits of `IM` and `ICR`: bytes have arrived, or have waited for more.
const RX_INTERRUPTS: u32 = 1 << 4 | 1 << 6;

fn read(address: usize) -> u32 {
    // SAFETY: the addresses in this file are registers of the LM3S6965, aligned, and reading them has no effect on
    // memory.
    unsafe { (address as *const u32).read_volatile() }
}

fn write(address: usize, value: u32) {
    // SAFETY: as for `read`. No register that is written here makes the processor access memory (there is no DMA).
    unsafe { (address as *mut u32).write_volatile(value) }
}

/// Milliseconds since the start, and the bytes from the router with what their arrival adds to the randomness.
struct Shared {
    now: u64,
    received: Deque<u8, 2048>,
    /// Bytes that found no room.
    lost: u32,
    jitter: u32,
}

static SHARED: Mutex<RefCell<Shared>> =
    Mutex::new(RefCell::new(Shared { now: 0, received: Deque::new(), lost: 0, jitter: 0 }));

fn shared<R>(work: impl FnOnce(&mut Shared) -> R) -> R {
    critical_section::with(|section| work(&mut SHARED.borrow_ref_mut(section)))
}

#[exception]
fn SysTick() {
    shared(|shared| shared.now += 1);
}

/// The FIFO of the UART has 16 bytes, 1.4 ms of the line. A handshake keeps the processor busy for longer.
#[interrupt]
fn UART1() {
    shared(|shared| {
        while read(self::UART1 + FR) & RX_EMPTY == 0 {
            let byte = read(self::UART1 + DR) as u8;
            shared.jitter = shared.jitter.rotate_left(5) ^ SYST::get_current();
            if shared.received.push_back(byte).is_err() {
                shared.lost += 1;
            }
        }
    });
    write(self::UART1 + ICR, RX_INTERRUPTS);
}

/// Starts clocks, ports and interrupts.
pub fn start(mut syst: SYST) {
    // The crystal of 8 MHz and the PLL: 200 MHz divided by 4. The internal oscillator is too far off for a UART.
    let rcc = read(SYSCTL + 0x060);
    let bypassed = (rcc | 1 << 11) & !(1 << 22);
    write(SYSCTL + 0x060, bypassed);
    let crystal = bypassed & !(0xF << 6 | 3 << 4 | 1 << 13 | 1 << 0) | 0xE << 6;
    write(SYSCTL + 0x060, crystal);
    while read(SYSCTL + 0x050) & 1 << 6 == 0 {}
    let divided = crystal & !(0xF << 23) | 3 << 23 | 1 << 22;
    write(SYSCTL + 0x060, divided);
    write(SYSCTL + 0x060, divided & !(1 << 11));

    write(SYSCTL + 0x104, read(SYSCTL + 0x104) | 0b11);
    write(SYSCTL + 0x108, read(SYSCTL + 0x108) | 0b10_1011);
    // A port takes a few cycles to start.
    asm::delay(16);
    pins(PORT_A, 0b0011, true, false);
    pins(PORT_D, 0b1100, true, false);
    pins(PORT_F, 0b0001, false, true);
    pins(PORT_B, 0b1111, false, false);
    // Pull-downs of the switches.
    write(PORT_B + 0x514, 0b1111);
    for uart in [UART0, UART1] {
        write(uart + CTL, 0);
        // 50 MHz / (16 * 115200) = 27 + 8/64.
        write(uart + IBRD, 27);
        write(uart + FBRD, 8);
        // 8N1 with FIFOs.
        write(uart + LCRH, 0b11 << 5 | 1 << 4);
        write(uart + CTL, 1 << 0 | 1 << 8 | 1 << 9);
    }
    syst.set_clock_source(SystClkSource::Core);
    syst.set_reload(CLOCK / 1000 - 1);
    syst.clear_current();
    syst.enable_counter();
    syst.enable_interrupt();
    write(UART1 + IM, RX_INTERRUPTS);
    // SAFETY: the handler uses nothing but `SHARED`, inside critical sections.
    unsafe { NVIC::unmask(Interrupt::UART1) };
}

/// Sets up pins of a port: for the UART, for output, or for input.
fn pins(port: usize, mask: u32, uart: bool, output: bool) {
    let set = |register: usize, on: bool| {
        let old = read(port + register);
        write(port + register, if on { old | mask } else { old & !mask });
    };
    set(0x420, uart);
    set(0x400, output);
    set(0x51C, true);
}

/// Turns the lamp on or off.
pub fn lamp(on: bool) {
    // The address has the mask of the pins that are written.
    write(PORT_F + (1 << 2), u32::from(on));
}

/// The number that the switches show: an open switch is 0.
pub fn switches() -> usize {
    (read(PORT_B + (0b1111 << 2)) & 0b1111) as usize
}

/// Milliseconds since the start.
pub fn now() -> u64 {
    shared(|shared| shared.now)
}

/// The moments at which bytes arrived, folded into a number.
pub fn jitter() -> u32 {
    shared(|shared| shared.jitter) ^ SYST::get_current()
}

/// Number of bytes from the router that found no room.
pub fn lost() -> u32 {
    shared(|shared| shared.lost)
}

/// Sleeps until the next interrupt, a millisecond at most.
pub fn idle() {
    asm::wfi();
}

fn send(uart: usize, byte: u8) {
    while read(uart + FR) & TX_FULL != 0 {}
    write(uart + DR, byte.into());
}

/// The router's serial line.
#[derive(Debug)]
pub struct Line;

impl ErrorType for Line {
    type Error = Infallible;
}

impl Read for Line {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        loop {
            let mut len = 0;
            while let Some(place) = buf.get_mut(len)
                && let Some(byte) = shared(|shared| shared.received.pop_front())
            {
                *place = byte;
                len += 1;
            }
            if len > 0 || buf.is_empty() {
                return Ok(len);
            }
            idle();
        }
    }
}

impl ReadReady for Line {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(shared(|shared| !shared.received.is_empty()))
    }
}

impl Write for Line {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        buf.iter().for_each(|byte| send(UART1, *byte));
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The line for people and records.
pub struct Log;

impl fmt::Write for Log {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                send(UART0, b'\r');
            }
            send(UART0, byte);
        }
        Ok(())
    }
}
