/* SetUserBGPStatus, as the serviceability program does it, for the lab's ledger.
 *
 * Instruction: [106, status u8, rtt_ns u64 LE]; a payload that ends after the status means an RTT of 0.
 * Accounts:    user (writable), device, metrics publisher (signer, writable, pays the rent of growth), system
 *              program; further ones are ignored.
 *
 * What is checked, in this order, and how it fails:
 *   the payload and a known status                   InvalidInstructionData
 *   four accounts                                    NotEnoughAccountKeys
 *   the publisher signed                             MissingRequiredSignature
 *   user and device belong to this program           IncorrectProgramId
 *   they are long enough for what is read            InvalidAccountData
 *   they are a user and a device                     Custom(9)  InvalidAccountType
 *   the signer is the device's metrics publisher     Custom(8)  NotAllowed
 *   the user is on this device                       Custom(8)  NotAllowed
 *   the user as a whole: client_ip is not 0.0.0.0    Custom(26) InvalidClientIp
 *     and, unless it is pending: dz_ip likewise      Custom(27) InvalidDzIp
 *     tunnel_net inside 169.254.0.0/16               Custom(28) InvalidTunnelNet
 *     tunnel_id < 4596 (the device's tunnel ids)     Custom(29) InvalidTunnelId
 * The original asks for globally routable addresses; the lab's are not, so only "no address" fails here.
 *
 * No libc, no floats, no globals that are written to, at most five arguments and 512 bytes of stack a
 * function: the limits of the machine that this runs on.
 */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define INLINE static inline __attribute__((always_inline))

extern void sol_log_(const char *text, u64 length);
extern u64 sol_get_clock_sysvar(void *clock);
extern u64 sol_get_rent_sysvar(void *rent);
extern u64 sol_invoke_signed_c(const void *instruction, const void *infos, u64 infos_len, const void *seeds,
                               u64 seeds_len);

#define BUILTIN(code) ((u64)(code) << 32)
#define INVALID_INSTRUCTION_DATA BUILTIN(3)
#define INVALID_ACCOUNT_DATA BUILTIN(4)
#define INCORRECT_PROGRAM_ID BUILTIN(7)
#define MISSING_REQUIRED_SIGNATURE BUILTIN(8)
#define NOT_ENOUGH_ACCOUNT_KEYS BUILTIN(11)
#define NOT_ALLOWED 8
#define INVALID_ACCOUNT_TYPE 9
#define INVALID_CLIENT_IP 26
#define INVALID_DZ_IP 27
#define INVALID_TUNNEL_NET 28
#define INVALID_TUNNEL_ID 29

/* A rejection says why in the transaction's log before it fails. */
#define REJECT(code, text) \
    do { \
        sol_log_("Error: " text, sizeof("Error: " text) - 1); \
        return (code); \
    } while (0)

enum { SET_USER_BGP_STATUS = 106, DEVICE = 5, USER = 7, UP = 1, DOWN = 2, PENDING = 0 };

/* User, see dzbgp/ledger/accounts.py: offsets of the fields before the first vec, and behind the last one. */
enum { USER_DEVICE_PK = 83, CLIENT_IP = 116, DZ_IP = 120, TUNNEL_ID = 124, TUNNEL_NET = 126, STATUS = 131,
       VECS = 132 };
enum { VALIDATOR_PUBKEY = 0, TUNNEL_ENDPOINT = 32, TUNNEL_FLAGS = 36, BGP_STATUS = 37, LAST_UP_AT = 38,
       LAST_REPORTED_AT = 46, RTT_NS = 54, FEED_PKS = 62, TAIL_SIZE = 66 };

/* Device: account_type, owner, index, bump_seed, location_pk, exchange_pk, device_type, public_ip, status. */
enum { CODE = 1 + 32 + 16 + 1 + 32 + 32 + 1 + 4 + 1 };

#define TUNNEL_ID_LIMIT 4596
#define SPARE_BYTES 10240 /* what the runtime leaves behind an account's data to grow into */

typedef struct {
    u8 *key, *owner, *data;
    u64 *lamports, *length;
    u64 rent_epoch;
    u8 signer, writable, executable;
} Account;

/* What sol_invoke_signed_c takes. */
typedef struct {
    const u8 *program;
    const void *metas;
    u64 metas_len;
    const u8 *data;
    u64 data_len;
} Instruction;
typedef struct { const u8 *key; u8 writable, signer; } Meta;
typedef struct {
    u8 *key;
    u64 *lamports;
    u64 length;
    u8 *data, *owner;
    u64 rent_epoch;
    u8 signer, writable, executable;
} Info;

/* The machine loads and stores unaligned words. */
INLINE u64 load64(const u8 *at) { return *(const u64 *)at; }
INLINE u32 load32(const u8 *at) { return *(const u32 *)at; }
INLINE void store64(u8 *at, u64 value) { *(u64 *)at = value; }

INLINE int same_key(const u8 *a, const u8 *b) {
    return load64(a) == load64(b) && load64(a + 8) == load64(b + 8) && load64(a + 16) == load64(b + 16) &&
           load64(a + 24) == load64(b + 24);
}

/* Steps over the elements of `size` bytes behind a u32 count at `at`; 0 when they end beyond `length`. */
INLINE u64 after_vec(const u8 *data, u64 at, u64 size, u64 length) {
    if (at + 4 > length) return 0;
    u64 end = at + 4 + (u64)load32(data + at) * size;
    return end <= length ? end : 0;
}

/* The same for accounts that may have ended before the vec: a count that is not there is 0. */
INLINE u64 after_user_vec(const u8 *data, u64 at, u64 length) {
    return at + 4 > length ? at + 4 : after_vec(data, at, 32, length);
}

/* Reads one account of the input; gives where the next one begins. */
static u8 *read_account(u8 *at, Account *accounts, u64 index) {
    Account *account = accounts + (index < 4 ? index : 4);
    if (*at != 0xff) { /* the same account as an earlier one */
        *account = accounts[*at < 4 ? *at : 4];
        return at + 8;
    }
    account->signer = at[1];
    account->writable = at[2];
    account->executable = at[3];
    account->key = at + 8;
    account->owner = at + 40;
    account->lamports = (u64 *)(at + 72);
    account->length = (u64 *)(at + 80);
    account->data = at + 88;
    u64 length = *account->length;
    at += 88 + length + SPARE_BYTES;
    at += (8 - (length & 7)) & 7;
    account->rent_epoch = load64(at);
    return at + 8;
}

INLINE Info info_of(const Account *account) {
    Info info = {account->key, account->lamports, *account->length, account->data, account->owner,
                 account->rent_epoch, account->signer, account->writable, account->executable};
    return info;
}

/* Lets the publisher pay what a longer account needs to stay rent exempt. */
static u64 top_up_rent(const Account *user, const Account *publisher, const Account *system, u64 length) {
    u64 rent[3]; /* lamports per byte, exemption threshold as a double (1.0; 2.0 on older clusters), burn */
    u64 failure = sol_get_rent_sysvar(rent);
    if (failure) return failure;
    u64 needed = (128 + length) * rent[0] * (rent[1] == 0x4000000000000000ull ? 2 : 1);
    if (*user->lamports >= needed) return 0;
    u8 transfer[12] = {2};
    store64(transfer + 4, needed - *user->lamports);
    Meta metas[2] = {{publisher->key, 1, 1}, {user->key, 1, 0}};
    Info infos[3] = {info_of(publisher), info_of(user), info_of(system)};
    Instruction instruction = {system->key, metas, 2, transfer, sizeof(transfer)};
    return sol_invoke_signed_c(&instruction, infos, 3, 0, 0);
}

/* Is this a device, and is the signer its metrics publisher? */
static u64 check_device(const Account *device, const u8 *signer) {
    const u8 *data = device->data;
    u64 length = *device->length;
    if (length < 1) REJECT(INVALID_ACCOUNT_DATA, "the device account is empty");
    if (data[0] != DEVICE) REJECT(INVALID_ACCOUNT_TYPE, "the second account is not a device");
    u64 at = after_vec(data, CODE, 1, length);
    if (at) at = after_vec(data, at, 5, length);
    if (!at || at + 32 > length) REJECT(INVALID_ACCOUNT_DATA, "the device account is too short");
    if (!same_key(data + at, signer)) REJECT(NOT_ALLOWED, "the signer is not the device's metrics publisher");
    return 0;
}

/* Is this a user of that device, with fields that make sense? */
static u64 check_user(const Account *user, const u8 *device) {
    const u8 *data = user->data;
    if (*user->length < 1) REJECT(INVALID_ACCOUNT_DATA, "the user account is empty");
    if (data[0] != USER) REJECT(INVALID_ACCOUNT_TYPE, "the first account is not a user");
    if (*user->length < VECS) REJECT(INVALID_ACCOUNT_DATA, "the user account is too short");
    if (!same_key(data + USER_DEVICE_PK, device)) REJECT(NOT_ALLOWED, "the user is not on this device");
    if (load32(data + CLIENT_IP) == 0) REJECT(INVALID_CLIENT_IP, "the user has no client_ip");
    if (data[STATUS] != PENDING) {
        if (load32(data + DZ_IP) == 0) REJECT(INVALID_DZ_IP, "the user has no dz_ip");
        if (data[TUNNEL_NET] != 169 || data[TUNNEL_NET + 1] != 254 || data[TUNNEL_NET + 4] > 32)
            REJECT(INVALID_TUNNEL_NET, "the user's tunnel_net is not link-local");
    }
    if ((u64)data[TUNNEL_ID] + ((u64)data[TUNNEL_ID + 1] << 8) >= TUNNEL_ID_LIMIT)
        REJECT(INVALID_TUNNEL_ID, "the user's tunnel_id is out of range");
    return 0;
}

u64 entrypoint(u8 *input) {
    u64 count = load64(input);
    if (count < 4) REJECT(NOT_ENOUGH_ACCOUNT_KEYS, "four accounts are needed");
    Account accounts[5]; /* further accounts are stepped over; the fifth place is theirs */
    u8 *at = input + 8;
    for (u64 i = 0; i < count; i++) at = read_account(at, accounts, i);
    const Account *user = accounts, *device = accounts + 1, *publisher = accounts + 2, *system = accounts + 3;
    u64 data_len = load64(at);
    const u8 *data = at + 8, *program = data + data_len;

    if (data_len < 2 || data[0] != SET_USER_BGP_STATUS)
        REJECT(INVALID_INSTRUCTION_DATA, "unknown instruction");
    if (data_len != 2 && data_len != 10)
        REJECT(INVALID_INSTRUCTION_DATA, "the payload is neither 2 nor 10 bytes");
    if (data[1] > DOWN) REJECT(INVALID_INSTRUCTION_DATA, "unknown BGP status");
    if (!publisher->signer) REJECT(MISSING_REQUIRED_SIGNATURE, "the metrics publisher did not sign");
    if (!same_key(user->owner, program))
        REJECT(INCORRECT_PROGRAM_ID, "the user account is not of this program");
    if (!same_key(device->owner, program))
        REJECT(INCORRECT_PROGRAM_ID, "the device account is not of this program");
    u64 failure = check_device(device, publisher->key);
    if (!failure) failure = check_user(user, device->key);
    if (failure) return failure;

    u64 length = *user->length;
    u64 tail = after_user_vec(user->data, VECS, length);
    if (tail) tail = after_user_vec(user->data, tail, length);
    if (!tail) REJECT(INVALID_ACCOUNT_DATA, "the user account ends inside a list");
    if (length < tail + TAIL_SIZE) {
        failure = top_up_rent(user, publisher, system, tail + TAIL_SIZE);
        if (failure) return failure;
        *user->length = tail + TAIL_SIZE;
    }

    u64 clock[5];
    failure = sol_get_clock_sysvar(clock);
    if (failure) return failure;
    u8 *fields = user->data + tail;
    fields[BGP_STATUS] = data[1];
    if (data[1] == UP) store64(fields + LAST_UP_AT, clock[0]);
    store64(fields + LAST_REPORTED_AT, clock[0]);
    store64(fields + RTT_NS, data_len == 10 ? load64(data + 2) : 0);
    return 0;
}
