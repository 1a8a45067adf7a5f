/** The words of RFC 2119 that a clause can carry, as the registry spells them. */
export type Level = "MUST" | "SHOULD" | "MAY";
