//! Ranges of network addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// A range of IPv4 or IPv6 addresses, such as `10.0.0.0/8`. A lone address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subnet {
    /// The first address; the bits beyond the prefix are zero.
    pub address: IpAddr,
    /// How many leading bits all addresses share.
    pub prefix: u8,
}

/// A text that is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// Neither an address nor an address with a prefix length.
    #[error("{0:?} is not a range of addresses; write one such as 10.0.0.0/8")]
    Form(String),
    /// The address has bits set beyond the prefix.
    #[error("{given} does not begin at its first address; write {meant}")]
    Unaligned {
        /// What was written.
        given: String,
        /// The range that holds it.
        meant: Subnet,
    },
}

impl Subnet {
    /// An IPv4 range; bits of `address` beyond `prefix` (0 to 32) are cleared.
    pub const fn v4(address: Ipv4Addr, prefix: u8) -> Self {
        let bits = address.to_bits() & mask_v4(prefix);
        Self {
            address: IpAddr::V4(Ipv4Addr::from_bits(bits)),
            prefix,
        }
    }

    /// Whether `address` lies in the range. Families never mix.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(first), IpAddr::V4(other)) => {
                (first.to_bits() ^ other.to_bits()) & mask_v4(self.prefix) == 0
            }
            (IpAddr::V6(first), IpAddr::V6(other)) => {
                (first.to_bits() ^ other.to_bits()) & mask_v6(self.prefix) == 0
            }
            _ => false,
        }
    }

    /// Whether the two ranges share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// The range of `prefix` bits that holds the first address of this one.
    fn aligned(self) -> Self {
        let address = match self.address {
            IpAddr::V4(a) => Ipv4Addr::from_bits(a.to_bits() & mask_v4(self.prefix)).into(),
            IpAddr::V6(a) => {
                std::net::Ipv6Addr::from_bits(a.to_bits() & mask_v6(self.prefix)).into()
            }
        };
        Self { address, ..self }
    }
}

const fn mask_v4(prefix: u8) -> u32 {
    match prefix {
        0 => 0,
        1..32 => u32::MAX << (32 - prefix),
        _ => u32::MAX,
    }
}

const fn mask_v6(prefix: u8) -> u128 {
    match prefix {
        0 => 0,
        1..128 => u128::MAX << (128 - prefix),
        _ => u128::MAX,
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let form = || SubnetError::Form(text.chars().take(80).collect());
        let trimmed = text.trim();
        let (address, prefix) = match trimmed.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (trimmed, None),
        };
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) if digits.len() <= 3 && digits.chars().all(|c| c.is_ascii_digit()) => {
                digits.parse().map_err(|_| form())?
            }
            Some(_) => return Err(form()),
        };
        if prefix > longest {
            return Err(form());
        }
        let given = Self { address, prefix };
        let meant = given.aligned();
        if meant != given {
            return Err(SubnetError::Unaligned {
                given: given.to_string(),
                meant,
            });
        }
        Ok(given)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn reads_ranges_and_lone_addresses() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "fd00::/8", "::/0", "1.2.3.4/32"] {
            assert_eq!(subnet(text).to_string(), text);
        }
        assert_eq!(subnet("1.2.3.4").to_string(), "1.2.3.4/32");
        assert_eq!(subnet("::1").to_string(), "::1/128");
    }

    #[test]
    fn refuses_what_is_no_range() {
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "a/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "::/129",
        ] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_address_inside_the_range_is_told_where_the_range_begins() {
        let error = "10.1.2.3/8".parse::<Subnet>().unwrap_err().to_string();
        assert!(error.contains("write 10.0.0.0/8"), "{error}");
    }

    #[test]
    fn knows_what_lies_inside() {
        let ten = subnet("10.0.0.0/8");
        assert!(ten.contains("10.255.0.1".parse().unwrap()));
        assert!(!ten.contains("11.0.0.1".parse().unwrap()));
        assert!(!ten.contains("::1".parse().unwrap()));
        assert!(ten.overlaps(&subnet("10.3.0.0/16")));
        assert!(subnet("0.0.0.0/0").overlaps(&ten));
        assert!(!ten.overlaps(&subnet("172.16.0.0/12")));
    }
}
