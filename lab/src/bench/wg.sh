# What `cargo xtask bench wg` runs: `sh wg.sh SIDE RUNS` for a number of peers whose files are in the
# working folder. Prints a line for each command: its name, ticks of 10 ms in user and in kernel
# mode for all runs, KiB of memory at the most, system calls, and instructions in user mode.
#
# The machine counts instructions (`-icount`), so its CPU time is a number of instructions.
wg=$1 runs=$2
ref=/usr/bin/wg
# A program has to be loaded at the same place each time, or the emulator is slow.
echo 0 >/proc/sys/kernel/randomize_va_space

# Empties the interface. Not by a child of the shell whose children are counted.
mkfifo ask answer
while read -r question; do
	$ref setconf wg0 /dev/null
	echo done
done <ask >answer &
exec 3>ask 4<answer
empty() {
	echo please >&3
	read -r reply <&4
}

setconf() {
	empty
	"$@" $wg setconf wg0 base
}
# Each changes one peer of what the one before left.
syncconf() {
	[ "$file" = changed ] && file=base || file=changed
	"$@" $wg syncconf wg0 $file
}
dump() {
	"$@" $wg show wg0 dump >/dev/null
}

# In a shell of its own, because the count is of all children a shell has had.
ticks() {
	(
		run=0
		while [ $run -lt $runs ]; do
			$1
			run=$((run + 1))
		done
		times
	) | tail -n 1
}

# Stopped before it ends, it says what it has and what it had at the most. The kernel keeps the
# latter in steps of 64 pages.
memory() {
	$1 strace -qq -o /dev/null -e trace=exit_group -e inject=exit_group:delay_enter=600000000 &
	until pid=$(pidof "${wg##*/}") && read -r call rest <"/proc/$pid/syscall" && [ "$call" = 231 ]; do
		:
	done 2>/dev/null
	awk '/^(VmHWM|Rss):/ { if ($2 > most) most = $2 } END { print most }' \
		"/proc/$pid/status" "/proc/$pid/smaps_rollup"
	kill -9 $(pidof strace) "$pid"
	wait $! 2>/dev/null
}

calls() {
	$1 strace -qq -c -o count
	awk 'END { print $4 }' count
}

# Of the program alone, each of them. What valgrind has loaded into one that is dynamic is not there,
# and the loader's regrets are some ten thousand.
instructions() {
	$1 valgrind.bin --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null --log-file=count \
		2>/dev/null
	sed -n 's/.*I *refs: *//p' count | tr -d ,
}

# The interface as the first file says, so that syncconf has its one peer to change: all that is
# measured is run by a copy of this shell, which does not tell us what it left.
again() {
	[ $command != syncconf ] || $ref syncconf wg0 base
}

for command in setconf syncconf dump; do
	[ $command = setconf ] || $ref setconf wg0 base
	file=base
	counted=$(ticks $command)
	again
	most=$(memory $command)
	again
	called=$(calls $command)
	again
	echo "$command $counted $most $called $(instructions $command)"
done
exec 3>&-
