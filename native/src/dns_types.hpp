// Layer native. Numbers of record types and classes, by the names that the RFCs give them (IANA's DNS parameters).
#pragma once

#include <cstdint>

namespace nodeplane::dns {

inline constexpr std::uint16_t kClassIn = 1;

inline constexpr std::uint16_t kA = 1;
inline constexpr std::uint16_t kNs = 2;
inline constexpr std::uint16_t kCname = 5;
inline constexpr std::uint16_t kSoa = 6;
inline constexpr std::uint16_t kPtr = 12;
inline constexpr std::uint16_t kHinfo = 13;
inline constexpr std::uint16_t kMx = 15;
inline constexpr std::uint16_t kTxt = 16;
inline constexpr std::uint16_t kAaaa = 28;
inline constexpr std::uint16_t kSrv = 33;
inline constexpr std::uint16_t kOpt = 41;
inline constexpr std::uint16_t kDs = 43;

}  // namespace nodeplane::dns
