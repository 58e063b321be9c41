//! Files that the proxy is given: certificates that are there already, and a folder where a file is wanted.
//! `deploy/test/compose` has the file that belongs to somebody else: root, who may run this, reads everything.

use std::fs;
use std::path::Path;

use crate::support::program::{headpin, ran};

fn certs(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let out = folder.join("certs");
    ran(headpin(
        &[&["certs", "--out", out.to_str().unwrap()], arguments].concat(),
    ))
}

#[test]
fn certificates_are_kept_while_they_are_good() {
    let folder = tempfile::tempdir().unwrap();
    let (code, told) = certs(folder.path(), &["--keep", "--name", "headpin"]);
    assert_eq!(code, Some(0), "{told}");
    let leaf = folder.path().join("certs/localhost.pem");
    let first = fs::read(&leaf).unwrap();
    let (code, told) = certs(folder.path(), &["--keep", "--name", "headpin"]);
    assert!(code == Some(0) && told.starts_with("kept "), "{told}");
    assert_eq!(fs::read(&leaf).unwrap(), first);
}

#[test]
fn certificates_that_are_no_longer_good_are_left_alone_and_told() {
    for (spoil, wanted) in [
        ("name", r#"refused by clients that ask for "other""#),
        ("key", "do not go together"),
        ("ca", "refused by clients"),
        ("missing", "localhost-key.pem: No such file"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (other, place) = (folder.path().join("other"), folder.path().join("certs"));
        fs::create_dir(&other).unwrap();
        assert_eq!(certs(folder.path(), &[]).0, Some(0));
        assert_eq!(certs(&other, &[]).0, Some(0));
        let swap = |file: &str| fs::copy(other.join("certs").join(file), place.join(file)).unwrap();
        match spoil {
            "key" => _ = swap("localhost-key.pem"),
            "ca" => _ = swap("ca.pem"),
            "missing" => fs::remove_file(place.join("localhost-key.pem")).unwrap(),
            _ => {}
        }
        let leaf = fs::read(place.join("localhost.pem")).unwrap();
        let name: &[&str] = if spoil == "name" { &["--name", "other"] } else { &[] };
        let (code, told) = certs(folder.path(), &[&["--keep"], name].concat());
        assert_eq!(code, Some(1), "{spoil}: {told}");
        assert!(told.contains(wanted) && told.contains("--force"), "{spoil}: {told}");
        assert_eq!(fs::read(place.join("localhost.pem")).unwrap(), leaf, "{spoil}");
    }
}

#[test]
fn a_folder_in_the_place_of_the_config_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["serve", "check"] {
        let (code, told) = ran(headpin(&[command, "--config", folder.path().to_str().unwrap()]));
        assert_eq!(code, Some(64), "{told}");
        assert!(told.contains("it is a folder, and a file is wanted"), "{told}");
    }
}

#[test]
fn what_is_missing_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, gone) = (
        folder.path().join("headpin.toml"),
        folder.path().join("gone/headpin.toml"),
    );
    for (path, wanted) in [(&empty, "is empty; if it is a mount"), (&gone, "there is no folder ")] {
        let (code, told) = ran(headpin(&["check", "--config", path.to_str().unwrap()]));
        assert_eq!(code, Some(64), "{told}");
        assert!(told.contains(wanted), "{told}");
    }

    let config = "[tls]\ncertificates = [{ cert = \"certs/localhost.pem\", key = \"certs/localhost-key.pem\" }]\n";
    fs::write(
        &empty,
        format!("{config}[upstream]\nservers = [\"http://127.0.0.1:1\"]\n"),
    )
    .unwrap();
    let (code, told) = ran(headpin(&["check", "--config", empty.to_str().unwrap()]));
    assert_eq!(code, Some(64), "{told}");
    let makes = format!(
        "`headpin certs --out {}` makes one",
        folder.path().join("certs").display()
    );
    assert!(told.contains(&makes), "{told}");

    // What it says helps.
    assert_eq!(certs(folder.path(), &[]).0, Some(0));
    let (code, told) = ran(headpin(&["check", "--quiet", "--config", empty.to_str().unwrap()]));
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn every_pem_file_that_cannot_be_used_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(certs(folder.path(), &[]).0, Some(0));
    fs::write(folder.path().join("empty.pem"), "no certificate\n").unwrap();
    let config = folder.path().join("headpin.toml");
    let text = "tls.certificates = [{ cert = \"empty.pem\", key = \"certs/localhost-key.pem\" }]\n\
                [upstream]\nservers = [\"https://127.0.0.1:1\"]\nca = \"empty.pem\"\n\
                client_cert = \"certs/localhost.pem\"\nclient_key = \"certs/ca-key.pem\"\n";
    fs::write(&config, text).unwrap();
    let (code, told) = ran(headpin(&["check", "--config", config.to_str().unwrap()]));
    assert_eq!(code, Some(64), "{told}");
    for expected in [
        ":1: tls.certificates[0].cert = \"empty.pem\": accepted are PEM files that can be used",
        ":4: upstream.ca = \"empty.pem\": accepted are PEM files that can be used",
        ":5: upstream.client_cert = \"certs/localhost.pem\": accepted are PEM files that can be used",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}
