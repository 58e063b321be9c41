//! What is made of the command line's description: manual pages and completions.

use std::collections::BTreeSet;

use crate::support::PROGRAM;
use crate::support::program::told;
use crate::support::service::{headpin, output};

/// The commands below `command`, as its help lists them.
async fn subcommands(command: &[String]) -> Vec<String> {
    let arguments: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
    let help = String::from_utf8(output(&arguments).await.stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    listed
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Every command with those below it: `[]`, `[serve]`, `[load, echo]`.
async fn commands() -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut at = 0;
    while at < commands.len() {
        for name in subcommands(&commands[at]).await {
            let deeper = [commands[at].as_slice(), &[name]].concat();
            commands.push(deeper);
        }
        at += 1;
    }
    assert!(
        commands.contains(&vec!["load".to_owned(), "echo".to_owned()]),
        "{commands:?}"
    );
    commands
}

#[tokio::test]
async fn every_command_has_a_manual_page_and_nothing_else_has() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man1");
    let made = output(&["man", "--out", out.to_str().unwrap()]).await;
    assert!(made.status.success(), "{made:?}");
    let pages: BTreeSet<String> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let page =
        |command: &Vec<String>| format!("{}.1", [&["headpin".to_owned()], command.as_slice()].concat().join("-"));
    let wanted: BTreeSet<String> = commands().await.iter().map(page).collect();
    assert_eq!(pages, wanted);
    let serve = std::fs::read_to_string(out.join("headpin-serve.1")).unwrap();
    for part in [".TH headpin-serve 1", ".SH OPTIONS", "HEADPIN_CONFIG", "SIGHUP"] {
        assert!(serve.contains(part), "{part} is missing in\n{serve}");
    }
}

#[tokio::test]
async fn a_page_cannot_be_written_into_a_file() {
    let made = output(&["man", "--out", "Cargo.toml"]).await;
    assert_eq!(made.status.code(), Some(1));
    let said = String::from_utf8(made.stderr).unwrap();
    assert!(said.contains("cannot make the folder Cargo.toml"), "{said}");
}

#[tokio::test]
async fn completions_know_every_command() {
    let commands = commands().await;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let made = output(&["completions", shell]).await;
        let script = String::from_utf8(made.stdout).unwrap();
        for name in commands.iter().flatten() {
            assert!(script.contains(name.as_str()), "{shell} does not know {name}");
        }
    }
    let made = output(&["completions", "tcsh"]).await;
    assert_eq!(made.status.code(), Some(64));
}

#[tokio::test]
async fn the_schema_is_printed_whatever_config_there_is() {
    let schema = std::fs::read_to_string("config/headpin.schema.json").unwrap();
    for config in [None, Some("no/such/file.toml")] {
        let mut command = headpin();
        command.args(["check", "--schema"]);
        if let Some(config) = config {
            command.env("HEADPIN_CONFIG", config);
        }
        let printed = command.output().await.unwrap();
        assert_eq!(printed.status.code(), Some(0), "{printed:?}");
        assert_eq!(String::from_utf8(printed.stdout).unwrap(), schema);
    }
}

/// The script in a real shell: what it offers after `headpin h`.
#[tokio::test]
async fn bash_completes() {
    let script = String::from_utf8(output(&["completions", "bash"]).await.stdout).unwrap();
    let asked = format!(
        "{script}\nCOMP_WORDS=(headpin h) COMP_CWORD=1\n_headpin headpin h headpin\necho \"${{COMPREPLY[*]}}\"\n"
    );
    let bash = tokio::process::Command::new("bash")
        .args(["-c", &asked])
        .output()
        .await
        .unwrap();
    assert_eq!(String::from_utf8(bash.stdout).unwrap(), "health help\n");
}

/// The proxy's program by itself, as `cargo install` leaves it.
#[test]
fn where_there_is_no_laboratory_it_says_how_to_get_it() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let alone = folder.path().join("headpin");
    std::fs::hard_link(PROGRAM, &alone).unwrap();
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(&alone)
            .args(arguments)
            .env("PATH", folder.path())
            .output()
            .unwrap();
        (output.status.code(), told(&output))
    };
    for command in ["lab", "load", "upstream"] {
        let (code, told) = run(&[command, "--help"]);
        assert_eq!(code, Some(1), "{told}");
        assert!(
            told.contains("headpin-lab is neither beside this one nor on PATH"),
            "{told}"
        );
        assert!(told.contains("cargo install --path crates/lab"), "{told}");
    }
    let (code, script) = run(&["completions", "bash"]);
    assert!(code == Some(0) && script.contains("serve"), "{script}");
}
