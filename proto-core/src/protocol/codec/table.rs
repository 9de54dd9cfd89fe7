//! The macro that defines a message: its fields in order and its numbers, in one place. The type,
//! its [`Put`](super::Put) and [`Take`](super::Take), and serde's implementations all come from the
//! definition.

/// Defines structs and enums of messages.
///
/// - Every variant has its number. Serde numbers variants by position, so the numbers must be 0, 1,
///   2, ...; anything else does not compile.
/// - Fields of tuple variants have names too, which only the macro uses.
/// - `enum Ask as "ask"` names the enum for errors: an unknown number is then
///   [`Misread::Unknown`](super::Misread), and otherwise a bad field.
/// - A last variant `_ => Unknown(u8)` keeps an unknown number.
/// - A field `as sized` has a length prefix; a field `as known` refuses numbers without a name.
macro_rules! wire {
    ($($(#[$m:meta])* pub struct $name:ident $(<$l:lifetime>)? {
        $( $(#[$fm:meta])* pub $f:ident : $ft:ty $(as $fh:ident)?, )+
    })+) => {$(
        $(#[$m])*
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name $(<$l>)? {
            $( $(#[$fm])* pub $f: $ft, )+
        }

        impl $(<$l>)? $crate::protocol::codec::Put for $name $(<$l>)? {
            #[cfg_attr(feature = "small", inline(never))]
            fn put(&self, to: &mut $crate::protocol::codec::Output<'_>) {
                $( $crate::protocol::codec::wire!(@put to (&self.$f) $($fh)?); )+
            }
        }

        impl<'de $(, $l)?> $crate::protocol::codec::Take<'de> for $name $(<$l>)?
        $(where 'de: $l)?
        {
            fn take(input: &mut $crate::protocol::codec::Input<'de>) -> Self {
                Self { $( $f: {
                    input.at(stringify!($f));
                    $crate::protocol::codec::wire!(@take input $($fh)?)
                } ),+ }
            }
        }
    )+};

    ($(#[$m:meta])* pub enum $name:ident $(<$l:lifetime>)? $(as $label:literal)? {
        $(
            $(#[$vm:meta])* $v:ident
            $( ( $($tn:ident : $tt:ty $(as $th:ident)?),+ $(,)? ) )?
            $( { $( $(#[$fm:meta])* $f:ident : $ft:ty $(as $fh:ident)? ),+ $(,)? } )?
            = $n:literal,
        )+
        $( _ => $unknown:ident (u8), )?
    }) => {
        $(#[$m])*
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub enum $name $(<$l>)? {
            $( $(#[$vm])* $v $( ( $($tt),+ ) )? $( { $( $(#[$fm])* $f: $ft ),+ } )?, )+
            $(
                /// A number that this version does not know.
                #[cfg_attr(feature = "serde", serde(skip))]
                $unknown(u8),
            )?
        }

        // Serde numbers the variants by position.
        const _: () = {
            let mut place = 0_u8;
            $( assert!($n == place); place = place.wrapping_add(1); )+
            assert!(place < 0x80);
        };

        impl $(<$l>)? $crate::protocol::codec::Put for $name $(<$l>)? {
            fn put(&self, to: &mut $crate::protocol::codec::Output<'_>) {
                match self {
                    $( Self::$v $( ( $($tn),+ ) )? $( { $($f),+ } )? => {
                        to.byte($n);
                        $( $( $crate::protocol::codec::wire!(@put to $tn $($th)?); )+ )?
                        $( $( $crate::protocol::codec::wire!(@put to $f $($fh)?); )+ )?
                    } )+
                    $( Self::$unknown(number) => to.byte(*number), )?
                }
            }
        }

        $crate::protocol::codec::wire!(@open [$name $($l)?] [$($unknown)?]);

        impl<'de $(, $l)?> $crate::protocol::codec::Take<'de> for $name $(<$l>)?
        $(where 'de: $l)?
        {
            #[cfg_attr(feature = "small", inline(never))]
            fn take(input: &mut $crate::protocol::codec::Input<'de>) -> Self {
                $( input.at($label); )?
                match input.u32() {
                    $( $n => Self::$v
                        $( ( $( {
                            let $tn = $crate::protocol::codec::wire!(@take input $($th)?);
                            $tn
                        } ),+ ) )?
                        $( { $( $f: {
                            input.at(stringify!($f));
                            $crate::protocol::codec::wire!(@take input $($fh)?)
                        } ),+ } )?, )+
                    number => {
                        $crate::protocol::codec::wire!(@unknown input number [$($unknown)?] [$($label)?])
                    }
                }
            }
        }
    };

    (@put $to:ident $value:tt) => { $crate::protocol::codec::Put::put($value, $to) };
    (@put $to:ident $value:tt known) => { $crate::protocol::codec::Put::put($value, $to) };
    (@put $to:ident $value:tt sized) => {
        $to.sized(|to| $crate::protocol::codec::Put::put($value, to))
    };

    (@take $input:ident) => { $crate::protocol::codec::Take::take($input) };
    (@take $input:ident known) => { $input.known_role() };
    (@take $input:ident sized) => {
        $input.sized()
    };

    (@open [$name:ident] [$unknown:ident]) => {
        impl $crate::protocol::codec::Open for $name {
            fn unknown(number: u8) -> Self {
                Self::$unknown(number)
            }

            fn unknown_number(&self) -> Option<u8> {
                if let Self::$unknown(number) = self { Some(*number) } else { None }
            }
        }
    };
    // Only values with a length prefix are open, and none of them borrows.
    (@open $name:tt $unknown:tt) => {};

    (@unknown $input:ident $number:ident [$unknown:ident] $label:tt) => {
        Self::$unknown(u8::try_from($number).unwrap_or(u8::MAX))
    };
    // The error is recorded, and the value is a placeholder: variant 0, read from no bytes.
    (@unknown $input:ident $number:ident [] [$label:literal]) => {{
        $input.note($crate::protocol::codec::Misread::Unknown($number));
        Self::take(&mut $crate::protocol::codec::Input::new(&[]))
    }};
    (@unknown $input:ident $number:ident [] []) => {{
        let _ = $number;
        $input.refuse();
        Self::take(&mut $crate::protocol::codec::Input::new(&[]))
    }};
}

pub(crate) use wire;
