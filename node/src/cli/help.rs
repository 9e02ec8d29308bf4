//! What help says of options that all commands take.
//!
//! They are understood everywhere, before and after the command's name. Where one means nothing it is not shown, and where it means
//! something else, its help says so.

use clap::{Arg, Command};

use super::testnet::DEFAULT_HOME;

/// The options that say which node to talk to.
const OF_NODES: [&str; 2] = ["rpc", "ca"];
/// Commands that talk to no node.
const OFFLINE: [&[&str]; 12] = [
    &["init"],
    &["testnet"],
    &["run"],
    &["keys"],
    &["config"],
    &["verify"],
    &["store", "check"],
    &["store", "restore"],
    &["store", "compact"],
    &["store", "accept-lost-votes"],
    &["completion"],
    &["version"],
];
/// Commands that use no home.
const HOMELESS: [&[&str]; 3] = [&["testnet", "init"], &["completion"], &["version"]];

/// The command tree with the help that fits each command.
pub fn fitting(mut command: Command) -> Command {
    let global = |command: &Command, name: &str| -> Option<Arg> {
        command.get_arguments().find(|argument| argument.get_id() == name).cloned()
    };
    let hidden: Vec<Arg> = OF_NODES
        .iter()
        .filter_map(|name| global(&command, name))
        .map(|argument| argument.hide(true))
        .collect();
    for path in OFFLINE {
        command = at(command, path, &|offline| offline.args(hidden.clone()));
    }
    let Some(home) = global(&command, "home") else { return command };
    for path in HOMELESS {
        command = at(command, path, &|homeless| homeless.arg(home.clone().hide(true)));
    }
    let help = format!("Folder of the test network [default: ./{DEFAULT_HOME}]");
    at(command, &["testnet", "up"], &|up| up.arg(home.clone().help(help.clone())))
}

/// Changes the command at a path.
fn at(command: Command, path: &[&str], change: &dyn Fn(Command) -> Command) -> Command {
    match path.split_first() {
        None => change(command),
        Some((first, rest)) => command.mut_subcommand(first, |inner| at(inner, rest, change)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    fn help(path: &[&str]) -> String {
        let mut command = fitting(Cli::command());
        command.build();
        let mut command = &mut command;
        for name in path {
            command = command.find_subcommand_mut(name).unwrap();
        }
        command.render_help().to_string()
    }

    #[test]
    fn options_are_shown_where_they_mean_something() {
        for path in [&["status"][..], &["store", "backup"], &["kv", "get"]] {
            assert!(help(path).contains("--rpc <URL>") && help(path).contains("--home"), "{path:?}");
        }
        for path in [&["run"][..], &["store", "check"], &["keys", "new"], &["version"], &["testnet", "up"]] {
            assert!(!help(path).contains("--rpc <URL>") && !help(path).contains("--ca "), "{}", help(path));
        }
        assert!(!help(&["version"]).contains("--home"));
        let up = help(&["testnet", "up"]);
        assert!(up.contains("[default: ./.aegis-testnet]") && !up.contains("~/.aegis"), "{up}");
    }
}
