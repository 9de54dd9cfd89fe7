//! The LED over a folder that behaves as the kernel's does.

use std::collections::BTreeMap;
use std::string::String;

use super::*;

/// The folder of an LED: files, and what the kernel does when one of them is written.
struct Sysfs {
    files: BTreeMap<&'static str, String>,
    /// The triggers of this kernel, after the first that `trigger` lists.
    triggers: &'static [&'static str],
    writes: usize,
}

const TRIGGERS: &[&str] = &["none", "timer", "default-on", "heartbeat", "netdev", "phy0tpt"];

impl Sysfs {
    fn new(trigger: &'static str, brightness: u32) -> Self {
        let mut files = BTreeMap::new();
        files.insert("max_brightness", "255\n".into());
        files.insert("brightness", std::format!("{brightness}\n"));
        files.insert("trigger", trigger.into());
        if trigger == "timer" {
            files.insert("delay_on", "500\n".into());
            files.insert("delay_off", "200\n".into());
        }
        Self { files, triggers: TRIGGERS, writes: 0 }
    }

    /// What a person sees: trigger, and brightness or delays.
    fn seen(&self) -> String {
        let text = |name| self.files.get(name).map_or("-", |text| text.trim());
        match text("trigger") {
            "timer" => std::format!("timer {}/{}", text("delay_on"), text("delay_off")),
            trigger => std::format!("{trigger} {}", text("brightness")),
        }
    }
}

impl LedFolder for &mut Sysfs {
    fn read(&mut self, name: &CStr, take: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
        let name = name.to_str().unwrap();
        let text = self.files.get(name).ok_or(Errno::ENOENT)?.clone();
        if name != "trigger" {
            take(text.as_bytes());
            return Ok(());
        }
        // A list of many triggers comes in pieces.
        let list = self.triggers.iter().map(|trigger| match *trigger == text {
            true => std::format!("[{trigger}] "),
            false => std::format!("{trigger} "),
        });
        let list: String = list.collect();
        list.as_bytes().chunks(3).for_each(take);
        Ok(())
    }

    fn write(&mut self, name: &CStr, text: &str) -> Result<(), Errno> {
        self.writes += 1;
        let name = ["trigger", "brightness", "delay_on", "delay_off"]
            .into_iter()
            .find(|known| *known == name.to_str().unwrap());
        let name = name.filter(|name| self.files.contains_key(name)).ok_or(Errno::ENOENT)?;
        if name == "trigger" {
            if !self.triggers.contains(&text) {
                return Err(Errno::EINVAL);
            }
            let light = if text == "default-on" { "255" } else { "0" };
            self.files.insert("brightness", light.into());
            self.files.remove("delay_on");
            self.files.remove("delay_off");
            if text == "timer" {
                self.files.insert("delay_on", "500".into());
                self.files.insert("delay_off", "500".into());
            }
        }
        self.files.insert(name, text.into());
        Ok(())
    }
}

#[test]
fn each_activity_looks_different_and_the_led_gets_back_what_it_had() {
    for (trigger, brightness) in
        [("none", 0), ("none", 7), ("default-on", 255), ("timer", 3), ("heartbeat", 0)]
    {
        let mut sysfs = Sysfs::new(trigger, brightness);
        let before = sysfs.seen();
        let mut looks = std::vec::Vec::new();
        for activity in [
            Activity::Waiting,
            Activity::Session,
            Activity::Push,
            Activity::Pending,
            Activity::Trouble,
            Activity::Waiting,
        ] {
            // Each time as the agent that was killed before left it.
            let mut led = Led::new(&mut sysfs);
            led.show(activity, 0, 5).unwrap();
            looks.push(sysfs.seen());
        }
        assert_eq!(looks.pop().as_ref(), looks.first());
        assert_eq!(
            looks,
            ["none 255", "timer 901/99", "timer 49/51", "timer 999/1001", "timer 99/901"]
        );

        let mut sysfs = Sysfs::new(trigger, brightness);
        let mut led = Led::new(&mut sysfs);
        for activity in [Activity::Pending, Activity::Waiting, Activity::Session] {
            led.show(activity, 0, 5).unwrap();
        }
        led.put_back();
        assert_eq!(sysfs.seen(), before);
    }
}

#[test]
fn what_a_killed_agent_left_is_not_put_back() {
    let mut sysfs = Sysfs::new("none", 0);
    Led::new(&mut sysfs).show(Activity::Trouble, 0, 0).unwrap();
    let mut led = Led::new(&mut sysfs);
    led.show(Activity::Pending, 0, 0).unwrap();
    led.put_back();
    assert_eq!(sysfs.seen(), "none 255");
}

#[test]
fn an_led_of_another_program_is_left_alone() {
    // Its settings, such as the device of `netdev`, would be lost with the trigger.
    for trigger in ["netdev", "phy0tpt"] {
        let mut sysfs = Sysfs::new(trigger, 1);
        let mut led = Led::new(&mut sysfs);
        assert_eq!(led.show(Activity::Push, 0, 0), Err(LedError::InUse));
        led.put_back();
        assert_eq!(sysfs.writes, 0);
    }
}

#[test]
fn a_missing_led_is_told_at_changes_only_and_used_when_it_appears() {
    let mut sysfs = Sysfs::new("none", 0);
    let files = core::mem::take(&mut sysfs.files);
    let mut led = Led::new(&mut sysfs);
    let gone = Err(LedError::Kernel(Errno::ENOENT));
    assert_eq!(led.show(Activity::Waiting, 0, 0), gone);
    assert_eq!(led.show(Activity::Waiting, 0, 1), Ok(()));
    led.put_back();
    led.folder.files = files;
    led.show(Activity::Session, 0, 2).unwrap();
    assert_eq!(sysfs.seen(), "timer 901/99");
}

#[test]
fn a_kernel_without_the_timer_trigger_is_an_error() {
    let mut sysfs = Sysfs::new("none", 9);
    sysfs.triggers = &["none", "heartbeat"];
    let mut led = Led::new(&mut sysfs);
    assert_eq!(led.show(Activity::Session, 0, 0), Err(LedError::Kernel(Errno::EINVAL)));
    led.put_back();
    assert_eq!(sysfs.seen(), "none 9");
}

#[test]
fn a_push_of_a_few_milliseconds_is_seen() {
    let mut sysfs = Sysfs::new("none", 0);
    let mut led = Led::new(&mut sysfs);
    led.show(Activity::Session, 0, 0).unwrap();
    assert_eq!(led.deadline(0), None);
    // It began and ended between two looks.
    led.show(Activity::Session, 1, 100).unwrap();
    assert_eq!(led.shown, Some(Activity::Push));
    assert_eq!(led.deadline(100), Some(1_100));
    // What is more urgent shows at once.
    led.show(Activity::Pending, 1, 200).unwrap();
    assert_eq!(led.shown, Some(Activity::Pending));
    led.show(Activity::Waiting, 1, 1_099).unwrap();
    assert_eq!(led.shown, Some(Activity::Push));
    led.show(Activity::Waiting, 1, 1_100).unwrap();
    assert_eq!((led.shown, led.deadline(1_100)), (Some(Activity::Waiting), None));
}
