//! Rules of others that drop what ours let pass.
//!
//! A packet must be accepted by every table that sees it, so that an accept of ours does not
//! help where another table drops. The common case is a chain `FORWARD` of iptables whose policy
//! is to drop: Docker and ufw set it so. Two rules at its end let our packets pass where nothing
//! of the operator's has dropped them before; our own table has looked at them already. They are
//! plain enough for iptables to read (a rule with an expression that it does not know makes it
//! refuse the whole table). Other tables that drop are told, and left alone.

use super::program::{IPTABLES_LEGACY, NFT, ProgramError};
use super::rules::TABLE;
use crate::native::network::link::PREFIX;
use serde_json::Value;
use std::fmt;

/// How our rules in the chains of others are known.
const MARK: &str = "soulbox";

/// Where Linux lists the tables of the iptables that was there before nf_tables.
const LEGACY_TABLES: &str = "/proc/thread-self/net/ip_tables_names";

/// The chain that is opened: of iptables, whether by way of nf_tables or not.
const CHAIN: [&str; 3] = ["ip", "filter", "FORWARD"];

/// Something of others that may drop the packets of sandboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// A chain whose policy is to drop.
    Policy {
        /// Family, table and chain.
        chain: String,
    },
    /// firewalld refuses what comes from links that it was not told of.
    Firewalld,
    /// Chains of the old iptables, which could not be opened.
    Legacy {
        /// Why not.
        why: String,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy { chain } => write!(
                f,
                "the nftables chain {chain} drops what it does not know; add to it: \
                 iifname \"{PREFIX}*\" accept; oifname \"{PREFIX}*\" ct state established,related \
                 accept"
            ),
            Self::Firewalld => write!(
                f,
                "firewalld refuses to pass on what comes from sandboxes; run: firewall-cmd \
                 --permanent --zone=trusted --add-interface={PREFIX}+ && firewall-cmd --reload"
            ),
            Self::Legacy { why } => write!(
                f,
                "the legacy iptables chain FORWARD may drop packets of sandboxes ({why}); run: \
                 iptables-legacy -A FORWARD -i {PREFIX}+ -j ACCEPT; iptables-legacy -A FORWARD \
                 -o {PREFIX}+ -j ACCEPT"
            ),
        }
    }
}

/// Lets our packets pass the chain `FORWARD` if its policy is to drop, and tells of everything
/// else that may drop them.
pub(super) fn open() -> Result<Vec<Obstacle>, ProgramError> {
    let mut obstacles = Vec::new();
    for chain in list("chains", &[])? {
        match chain_that_drops(&chain) {
            Some(CHAIN) => open_forward()?,
            Some([family, table, name]) => {
                obstacles.push(Obstacle::Policy {
                    chain: format!("{family} {table} {name}"),
                });
            }
            None if text(&chain, "table") == "firewalld"
                && !obstacles.contains(&Obstacle::Firewalld) =>
            {
                obstacles.push(Obstacle::Firewalld);
            }
            None => {}
        }
    }
    if let Err(why) = legacy::open() {
        obstacles.push(Obstacle::Legacy { why });
    }
    Ok(obstacles)
}

/// Takes our rules out of the chains of others.
pub(super) fn close() -> Result<(), ProgramError> {
    if list("chains", &[])?
        .iter()
        .any(|chain| name_of(chain) == CHAIN)
    {
        for handle in our_rules()? {
            NFT.run(
                &["-f", "-"],
                &format!("delete rule {} handle {handle}", CHAIN.join(" ")),
            )?;
        }
    }
    legacy::close();
    Ok(())
}

fn open_forward() -> Result<(), ProgramError> {
    if !our_rules()?.is_empty() {
        return Ok(());
    }
    let chain = CHAIN.join(" ");
    let rule =
        |side| format!("add rule {chain} {side} \"{PREFIX}*\" counter accept comment \"{MARK}\"");
    NFT.run(
        &["-f", "-"],
        &format!("{}\n{}\n", rule("iifname"), rule("oifname")),
    )?;
    Ok(())
}

/// The handles of our rules in the chain `FORWARD`.
fn our_rules() -> Result<Vec<u64>, ProgramError> {
    let rules = list("chain", &CHAIN)?;
    let ours = rules.iter().filter(|rule| text(rule, "comment") == MARK);
    Ok(ours
        .filter_map(|rule| rule.get("handle")?.as_u64())
        .collect())
}

/// Lists objects; what is not a chain or a rule is left out.
fn list(what: &str, which: &[&str]) -> Result<Vec<Value>, ProgramError> {
    let arguments = [&["-j", "-a", "list", what], which].concat();
    let printed = NFT.run(&arguments, "")?;
    let mut read: Value = serde_json::from_str(&printed).map_err(|error| NFT.printed(error))?;
    let kind = if what == "chains" { "chain" } else { "rule" };
    let Some(Value::Array(objects)) = read.get_mut("nftables").map(Value::take) else {
        return Ok(Vec::new());
    };
    Ok(objects
        .into_iter()
        .filter_map(|mut object| Some(object.get_mut(kind)?.take()))
        .collect())
}

/// Family, table and name of a chain of others that sees forwarded IPv4 packets and drops what
/// it does not know.
fn chain_that_drops(chain: &Value) -> Option<[&str; 3]> {
    let name = name_of(chain);
    let seen = text(chain, "hook") == "forward" && ["ip", "inet"].contains(&name[0]);
    (seen && text(chain, "policy") == "drop" && name[1] != TABLE).then_some(name)
}

fn name_of(chain: &Value) -> [&str; 3] {
    ["family", "table", "name"].map(|key| text(chain, key))
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The iptables that was there before nf_tables; its rules are invisible to `nft`.
mod legacy {
    use super::{IPTABLES_LEGACY, LEGACY_TABLES, MARK, PREFIX};

    /// Opens its chain `FORWARD` if the policy is to drop; says why it cannot.
    pub(super) fn open() -> Result<(), String> {
        if !in_use() {
            return Ok(());
        }
        let rules = iptables(&["-S", "FORWARD"])?;
        if !rules.lines().any(|line| line == "-P FORWARD DROP") {
            return Ok(());
        }
        for side in ["-i", "-o"] {
            if run("-C", side).is_err() {
                run("-A", side)?;
            }
        }
        Ok(())
    }

    /// Takes our rules out of it again.
    pub(super) fn close() {
        for side in ["-i", "-o"] {
            while in_use() && run("-C", side).is_ok() && run("-D", side).is_ok() {}
        }
    }

    fn in_use() -> bool {
        std::fs::read_to_string(LEGACY_TABLES)
            .is_ok_and(|tables| tables.lines().any(|table| table == "filter"))
    }

    fn run(action: &str, side: &str) -> Result<String, String> {
        let links = format!("{PREFIX}+");
        let comment = ["-m", "comment", "--comment", MARK];
        iptables(
            &[
                &[action, "FORWARD", side, &links],
                &comment[..],
                &["-j", "ACCEPT"],
            ]
            .concat(),
        )
    }

    fn iptables(arguments: &[&str]) -> Result<String, String> {
        let waiting = ["-w", "5"];
        IPTABLES_LEGACY
            .run(&[&waiting, arguments].concat(), "")
            .map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_chains_of_others_that_drop_forwarded_ipv4_count() {
        let chain = |family: &str, table: &str, hook: &str, policy: &str| {
            json!({ "family": family, "table": table, "name": "FORWARD", "hook": hook,
                    "policy": policy })
        };
        let drops = |value: &Value| chain_that_drops(value).is_some();
        assert!(drops(&chain("ip", "filter", "forward", "drop")));
        assert!(drops(&chain("inet", "fw", "forward", "drop")));
        assert!(!drops(&chain("ip", "filter", "forward", "accept")));
        assert!(!drops(&chain("ip", "filter", "input", "drop")));
        assert!(!drops(&chain("ip6", "filter", "forward", "drop")));
        assert!(!drops(&chain("inet", TABLE, "forward", "drop")));
        assert!(!drops(&json!({})));
        assert!(!drops(&json!(null)));
    }
}
