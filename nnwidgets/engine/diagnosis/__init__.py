"""Why a network is not good enough, and faults with a known cause to try that on."""
