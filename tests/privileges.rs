//! Giving up root, as C programs see it.

mod common;

use std::{fs, os::unix::fs::MetadataExt, process::Command};

use common::{fail_with, is_root, rig::Rig, skip};
use nix::libc;

#[test]
fn privileges_are_given_up_for_good() {
    if !is_root() {
        return skip("needs root");
    }
    let rig = Rig::new();
    let daemon = rig.start(&["pidfile=./d.pid", "user=nobody"]);
    let uid = daemon.status("Uid");
    assert!(uid.split_whitespace().all(|uid| uid == "65534"), "{uid}");
    assert_eq!(daemon.status("CapEff"), "0000000000000000");
    assert_eq!(daemon.status("CapPrm"), "0000000000000000");
    let groups = daemon.status("Groups");
    assert!(!groups.split_whitespace().any(|group| group == "0"), "{groups}");
    let gid = daemon.status("Gid");
    assert!(gid.split_whitespace().all(|gid| gid == "65534"), "{gid}");
    assert_eq!(fs::metadata(rig.folder.path("d.pid")).unwrap().uid(), 0);
    daemon.stop();

    // nobody may not remove it from root's folder: it names nobody any more.
    assert_eq!(fs::read_to_string(rig.folder.path("d.pid")).unwrap(), "");
    let daemon = rig.start(&["pidfile=./d.pid", "user=65534", "group=daemon"]);
    assert_eq!(daemon.status("Gid").split_whitespace().next(), Some("1"));
    assert_eq!(daemon.status("Groups"), "");
    daemon.stop();
}

#[test]
fn who_may_not_change_the_user_is_told() {
    if !is_root() {
        return skip("needs root to become somebody who is not");
    }
    let rig = Rig::new();
    let message = fail_with(1, &mut rig.command(&["uid=65534", "user=daemon", "directory=."]));
    let sentence = "cannot change the group: Operation not permitted";
    assert_eq!(message, format!("daemon: {} {sentence}", libc::EPERM));
    assert_eq!(rig.processes(), Vec::<i32>::new());
}

#[test]
fn groups_are_given_up_although_the_ids_are_right_already() {
    if !is_root() {
        return skip("needs root");
    }
    let rig = Rig::new();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--groups", "0,4"]).arg(&rig.program);
    command.args(["user=nobody", "directory=."]).current_dir(&rig.folder);
    let message = fail_with(1, &mut command);
    let sentence = "cannot set the supplementary groups: Operation not permitted";
    assert_eq!(message, format!("daemon: {} {sentence}", libc::EPERM));

    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.args(["--inh-caps=+setuid", "--ambient-caps=+setuid"]).arg(&rig.program);
    command.args(["user=65534", "group=65534", "directory=."]).current_dir(&rig.folder);
    let message = fail_with(1, &mut command);
    let sentence = "cannot give up privileges: root could come back";
    assert_eq!(message, format!("daemon: {} {sentence}", libc::EPERM));
}
