//! The lenient half of proto3's JSON mapping, as attributes for serde.
//!
//! | Field | Taken | Written |
//! |---|---|---|
//! | any | `null` as the default | left out when default |
//! | `u32` ([`number`]) | number, or a string of one | number |
//! | `i64` ([`long`]) | number, or a string of one | string |
//! | `bytes` ([`base64`]) | both alphabets, padded or not | standard alphabet, padded |
//! | enum | name or number | name |
//! | name | lowerCamelCase or snake_case (aliases at the field) | lowerCamelCase |

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use std::fmt;

/// `null` as the default value.
///
/// # Errors
/// The value's own.
pub fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Whether a field may be left out.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// An integer written as a number (`7`, `7.0`), as a string (`"7"`) or as `null` (0).
struct Integer;

impl Visitor<'_> for Integer {
    type Value = i128;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer, or a string of one")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<i128, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<i128, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<i128, E> {
        // 2^53: beyond it a float no longer tells one integer from the next.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if value.fract() != 0.0 || value.abs() > EXACT {
            return Err(E::invalid_value(Unexpected::Float(value), &self));
        }
        #[allow(clippy::cast_possible_truncation)] // Whole and within 2^53.
        Ok(value as i128)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<i128, E> {
        value.parse::<i64>().map(i128::from).or_else(|_| {
            {
                value
                    .parse::<u64>()
                    .map_err(|_| E::invalid_value(Unexpected::Str(value), &self))
            }
            .map(i128::from)
        })
    }

    fn visit_unit<E: Error>(self) -> Result<i128, E> {
        Ok(0)
    }
}

fn integer<'de, D: Deserializer<'de>, T: TryFrom<i128>>(deserializer: D) -> Result<T, D::Error> {
    let value = deserializer.deserialize_any(Integer)?;
    T::try_from(value).map_err(|_| D::Error::custom(format_args!("number {value} out of range")))
}

/// 32-bit integers, signed or not.
pub mod number {
    use serde::{Deserializer, Serialize, Serializer};

    /// Reads a number, a string of one, or `null`.
    ///
    /// # Errors
    /// Not an integer, or out of the type's range.
    pub fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: TryFrom<i128>,
    {
        super::integer(deserializer)
    }

    /// Writes a number.
    ///
    /// # Errors
    /// The serialiser's own.
    pub fn serialize<S: Serializer, T: Serialize>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        value.serialize(to)
    }
}

/// An optional 32-bit integer: `null` and absent are `None`.
pub mod optional_number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    struct Wrapped<T: TryFrom<i128>>(#[serde(with = "super::number")] T);

    /// Reads a number or a string of one.
    ///
    /// # Errors
    /// Not an integer, or out of the type's range.
    pub fn deserialize<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: TryFrom<i128>,
    {
        Ok(Option::<Wrapped<T>>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
    }

    /// Writes a number or `null`.
    ///
    /// # Errors
    /// The serialiser's own.
    pub fn serialize<S: Serializer, T: Serialize>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(to)
    }
}

/// 64-bit integers: strings on the wire.
pub mod long {
    use serde::{Deserializer, Serializer};

    /// Reads a string of a number, a number, or `null`.
    ///
    /// # Errors
    /// Not an integer, or out of range.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        super::integer(deserializer)
    }

    /// Writes a string.
    ///
    /// # Errors
    /// The serialiser's own.
    pub fn serialize<S: Serializer>(value: &i64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }
}

/// Bytes: base64 on the wire.
pub mod base64 {
    use ::base64::Engine as _;
    use ::base64::alphabet::STANDARD;
    use ::base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};
    use std::fmt;

    /// What every decoder of proto3's JSON takes beside the strict form: missing padding and
    /// stray bits at the end.
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );

    /// Decodes either alphabet, padded or not; `None` when it is not base64.
    pub fn decode(text: &str) -> Option<Vec<u8>> {
        if !text.contains(['-', '_']) {
            return LENIENT.decode(text).ok();
        }
        LENIENT
            .decode(text.replace('-', "+").replace('_', "/"))
            .ok()
    }

    /// Adds the standard, padded form to `out`.
    pub fn append(bytes: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + bytes.len().div_ceil(3) * 4, 0);
        if let Some(place) = out.get_mut(start..) {
            // The place has the exact length, so encoding cannot fail.
            let _ = ::base64::engine::general_purpose::STANDARD.encode_slice(bytes, place);
        }
    }

    struct Text;

    impl Visitor<'_> for Text {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("base64")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
            // The text itself is not repeated: it may be megabytes of somebody's data.
            decode(text).ok_or_else(|| E::custom("invalid base64"))
        }

        fn visit_unit<E: Error>(self) -> Result<Vec<u8>, E> {
            Ok(Vec::new())
        }
    }

    /// Reads base64 or `null`.
    ///
    /// # Errors
    /// Not base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_any(Text)
    }

    /// Writes base64.
    ///
    /// # Errors
    /// The serialiser's own.
    pub fn serialize<S: Serializer>(value: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&::base64::engine::general_purpose::STANDARD.encode(value))
    }
}

/// Optional bytes: absent and `null` are `None`, an empty string is `Some` of nothing.
pub mod optional_base64 {
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    struct Wrapped(#[serde(with = "super::base64")] Vec<u8>);

    /// Reads base64.
    ///
    /// # Errors
    /// Not base64.
    pub fn deserialize<'de, D>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error>
    where
        D: Deserializer<'de>,
    {
        Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
    }

    /// Writes base64 or `null`.
    ///
    /// # Errors
    /// The serialiser's own.
    pub fn serialize<S: Serializer>(value: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(bytes) => super::base64::serialize(bytes, to),
            None => to.serialize_none(),
        }
    }
}

/// Gives an enum of proto3 its JSON form: written by name, read by name, number or `null`.
/// An unknown name or number reads as the first variant, as an unknown enum value does in proto3.
macro_rules! proto_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $number:literal $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub enum $name {
            #[default]
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// Its name in the protocol.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            fn from_number(number: i64) -> Self {
                match number { $($number => Self::$variant,)+ _ => Self::default() }
            }

            fn from_name(name: &str) -> Self {
                match name { $($text => Self::$variant,)+ _ => Self::default() }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct NameOrNumber;
                impl serde::de::Visitor<'_> for NameOrNumber {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an enum's name or number")
                    }
                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<$name, E> {
                        Ok($name::from_name(name))
                    }
                    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<$name, E> {
                        Ok($name::from_number(number))
                    }
                    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<$name, E> {
                        Ok(i64::try_from(number).map_or_else(|_| $name::default(), $name::from_number))
                    }
                    fn visit_unit<E: serde::de::Error>(self) -> Result<$name, E> {
                        Ok($name::default())
                    }
                }
                from.deserialize_any(NameOrNumber)
            }
        }
    };
}
pub(crate) use proto_enum;
