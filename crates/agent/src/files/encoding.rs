//! Which compression an answer has.

/// How an answer's body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is.
    Identity,
    /// Compressed.
    Gzip,
}

/// What the client takes, by its `Accept-Encoding`; `None` when neither of the two will do.
///
/// Compressing costs far more than the way to the host, so it is done only for those who ask for
/// nothing but gzip, or who refuse the plain form. Clients that list several encodings by habit
/// (all official ones do) get the plain form, with its length and with ranges.
pub(crate) fn choose(accept: Option<&str>) -> Option<Encoding> {
    let Some(accept) = accept.map(str::trim).filter(|accept| !accept.is_empty()) else {
        return Some(Encoding::Identity);
    };
    let (mut gzip, mut identity, mut any, mut others) = (None, None, None, false);
    for item in accept.split(',') {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let taken = weight_of(weight) > 0.0;
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = Some(taken),
            "identity" => identity = Some(taken),
            "*" => any = Some(taken),
            "" => {}
            _ => others |= taken,
        }
    }
    let identity_taken = identity.or(any.filter(|any| !any)).unwrap_or(true);
    let only_gzip = !others && identity.is_none() && any.is_none();
    match gzip {
        Some(true) if only_gzip || !identity_taken => Some(Encoding::Gzip),
        _ if identity_taken => Some(Encoding::Identity),
        _ => None,
    }
}

/// The weight in `q=0.5`; 1 when there is none, 0 when it cannot be read.
fn weight_of(parameters: &str) -> f32 {
    let weight = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then_some(value)
    });
    weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_chosen_by_the_clients_wish() {
        use Encoding::{Gzip, Identity};
        let table = [
            (None, Some(Identity)),
            (Some(""), Some(Identity)),
            (Some("gzip"), Some(Gzip)),
            (Some("GZIP;q=0.5"), Some(Gzip)),
            (Some("gzip, deflate"), Some(Identity)),
            (Some("gzip, deflate, br, zstd"), Some(Identity)),
            (Some("gzip, identity;q=0"), Some(Gzip)),
            (Some("gzip, deflate, *;q=0"), Some(Gzip)),
            (Some("gzip;q=0"), Some(Identity)),
            (Some("gzip, *"), Some(Identity)),
            (Some("*"), Some(Identity)),
            (Some("*;q=0"), None),
            (Some("identity;q=0"), None),
            (Some("br, identity;q=0"), None),
            (Some("identity, *;q=0"), Some(Identity)),
            (Some("gzip;q=x, *;q=0"), None),
        ];
        for (accept, expected) in table {
            assert_eq!(choose(accept), expected, "{accept:?}");
        }
    }
}
