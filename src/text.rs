//! Pieces of text put together, and numbers read from it. Without core::fmt and str::parse, which
//! are larger than the rest of this library's text handling.

/// Writes the pieces one after the other, and cuts what does not fit. How much was written.
#[inline(never)]
pub fn join(to: &mut [u8], pieces: &[&[u8]]) -> usize {
    let mut length = 0;
    for piece in pieces {
        for byte in *piece {
            let Some(place) = to.get_mut(length) else {
                return length;
            };
            *place = *byte;
            length += 1;
        }
    }
    length
}

/// The words of a text with blanks between them.
pub fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| b" \t\n".contains(byte)).filter(|word| !word.is_empty())
}

/// A number of decimal digits and nothing else.
#[inline(never)]
pub fn long_number(text: &[u8]) -> Option<u64> {
    let mut number = None;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = Some(number.unwrap_or(0u64).checked_mul(10)?.checked_add(digit.into())?);
    }
    number
}

/// The same, where more than 32 bits are a mistake.
pub fn number(text: &[u8]) -> Option<u32> {
    long_number(text)?.try_into().ok()
}

/// A number of hexadecimal digits and nothing else.
#[inline(never)]
pub fn hexadecimal(text: &[u8]) -> Option<u64> {
    let mut number = None;
    for &byte in text {
        let digit = (byte as char).to_digit(16)?;
        number = Some(number.unwrap_or(0u64).checked_mul(16)?.checked_add(digit.into())?);
    }
    number
}
