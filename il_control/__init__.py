"""Action chunks in, safe motion out: laws, limits, arbitration and the safety gate."""
